// einsum: diagonals and sums of each operand first, then products of two in the order that costs
// least, each one batched matmul.
#include "ops/einsum.h"

#include <algorithm>

#include "ops/op.h"

namespace tegula {
namespace {

constexpr int64_t kLetters = 52;   // labels below are letters, those above axes of an ellipsis
constexpr int64_t kMostLabels = 128;

int64_t letter_label(char c) { return c <= 'Z' ? c - 'A' : c - 'a' + 26; }

// Labels of one operand, or of the result. Axes of an ellipsis have labels counted from its end.
Dims labels_of(std::string_view term, size_t ellipsis_rank, const std::string& subscripts) {
  Dims labels;
  bool ellipsis = false;
  for (size_t i = 0; i < term.size(); ++i) {
    const char c = term[i];
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      labels.push_back(letter_label(c));
      continue;
    }
    require(term.substr(i, 3) == "..." && !ellipsis, "einsum: subscripts '", subscripts,
            "' must be letters, commas, '->' and at most one '...' for each operand");
    ellipsis = true;
    for (size_t k = ellipsis_rank; k-- > 0;) labels.push_back(kLetters + int64_t(k));
    i += 2;
  }
  return labels;
}

bool has(const Dims& labels, int64_t label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

struct Subscripts {
  std::vector<Dims> operands;
  Dims result;
};

Subscripts parse(const std::string& given, const std::vector<Shape>& shapes) {
  std::string text;
  for (const char c : given)
    if (c != ' ') text += c;
  const size_t arrow = text.find("->");
  const std::string_view left = std::string_view(text).substr(0, arrow);
  std::vector<std::string_view> terms;
  for (size_t begin = 0; begin <= left.size();) {
    const size_t end = std::min(left.find(',', begin), left.size());
    terms.push_back(left.substr(begin, end - begin));
    begin = end + 1;
  }
  require(!shapes.empty(), "einsum: needs at least one operand");
  require(terms.size() == shapes.size(), "einsum: subscripts '", given, "' are of ", terms.size(),
          " operands, got ", shapes.size());
  Subscripts s;
  size_t widest = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    const size_t rank = shapes[i].size();
    const bool open = terms[i].find("...") != terms[i].npos;
    const size_t letters = labels_of(terms[i], 0, given).size();
    require(open ? letters <= rank : letters == rank, "einsum: subscripts '", terms[i],
            "' of operand ", i, " do not fit its shape ", shapes[i]);
    require(rank - letters < size_t(kMostLabels - kLetters), "einsum: operand ", i,
            " has too many axes");
    s.operands.push_back(labels_of(terms[i], rank - letters, given));
    if (open) widest = std::max(widest, rank - letters);
  }
  if (arrow != text.npos) {
    s.result = labels_of(std::string_view(text).substr(arrow + 2), widest, given);
    for (size_t i = 0; i < s.result.size(); ++i) {
      const int64_t label = s.result[i];
      const bool known = std::any_of(s.operands.begin(), s.operands.end(),
                                     [&](const Dims& labels) { return has(labels, label); });
      require(known && std::count(s.result.begin(), s.result.end(), label) == 1,
              "einsum: in subscripts '", given,
              "' every letter of the result must be one of an "
              "operand's, and stand there once");
    }
    return s;
  }
  for (size_t k = widest; k-- > 0;) s.result.push_back(kLetters + int64_t(k));
  for (int64_t label = 0; label < kLetters; ++label) {  // in the order of ASCII, as NumPy has it
    int64_t times = 0;
    for (const Dims& labels : s.operands) times += std::count(labels.begin(), labels.end(), label);
    if (times == 1) s.result.push_back(label);
  }
  return s;
}

Labels set_of(const Dims& labels) {
  Labels set;
  for (const int64_t label : labels) set.set(size_t(label));
  return set;
}

// The size of each label; axes of size 1 broadcast.
std::vector<double> sizes_of(const std::vector<Shape>& shapes, const std::vector<Dims>& labels,
                             const char* op) {
  std::vector<double> sizes(size_t(kMostLabels), 1);
  for (size_t i = 0; i < shapes.size(); ++i)
    for (size_t k = 0; k < shapes[i].size(); ++k) {
      double& size = sizes[size_t(labels[i][k])];
      const double here = double(shapes[i][k]);
      require(size == 1 || here == 1 || size == here, op, ": axis ", k, " of operand ", i,
              " has size ", shapes[i][k], ", where another of the same name has ", int64_t(size));
      if (here != 1) size = here;
    }
  return sizes;
}

struct Term {
  Tensor x;
  Dims labels;

  int64_t size(int64_t label) const {
    return x.shape()[size_t(std::find(labels.begin(), labels.end(), label) - labels.begin())];
  }
};

// The axes of x that `order` names, in that order; all it has, or some.
Tensor arranged(const Term& t, const Dims& order) {
  Dims axes;
  for (const int64_t label : order)
    axes.push_back(std::find(t.labels.begin(), t.labels.end(), label) - t.labels.begin());
  return permute_dims(t.x, axes);
}

// Without axes that broadcast, which other operands or nobody have.
Term without_broadcast(Term t, const std::vector<double>& sizes) {
  Dims axes, labels;
  for (size_t k = 0; k < t.labels.size(); ++k)
    if (t.x.shape()[k] == 1 && sizes[size_t(t.labels[k])] != 1) axes.push_back(int64_t(k));
    else labels.push_back(t.labels[k]);
  if (axes.empty()) return t;
  return {squeeze(t.x, axes), labels};
}

// Every label once: two axes of one label become their diagonal.
Term diagonal_of(Term t) {
  for (size_t k = 0; k < t.labels.size(); ++k) {
    const auto* other = std::find(t.labels.begin() + k + 1, t.labels.end(), t.labels[k]);
    if (other == t.labels.end()) continue;
    const int64_t size = t.x.shape()[k], label = t.labels[k];
    Dims axes, labels;
    Shape shape;
    for (size_t i = 0; i < t.labels.size(); ++i) {
      if (i == k || i == size_t(other - t.labels.begin())) continue;
      axes.push_back(int64_t(i));
      labels.push_back(t.labels[i]);
      shape.push_back(t.x.shape()[i]);
    }
    axes.push_back(int64_t(k));
    axes.push_back(other - t.labels.begin());
    shape.push_back(size * size);
    const Tensor flat = reshape(permute_dims(t.x, axes), shape);
    Dims steps(flat.rank(), 1);
    steps.back() = size + 1;
    shape.back() = size;
    labels.push_back(label);
    return diagonal_of({slice(flat, Dims(flat.rank(), 0), shape, steps), labels});
  }
  return t;
}

// Summed over the labels that are not in `kept`.
Term summed(const Term& t, const Labels& kept) {
  Dims axes, labels;
  for (size_t k = 0; k < t.labels.size(); ++k)
    if (kept[size_t(t.labels[k])]) labels.push_back(t.labels[k]);
    else axes.push_back(int64_t(k));
  if (axes.empty()) return t;
  return {sum(t.x, axes, false, t.x.dtype()), labels};
}

// The labels that the result or another tensor has too: the others are summed over first.
std::vector<Labels> without_lone(const std::vector<Labels>& sets, const Labels& wanted) {
  std::vector<Labels> shared;
  for (size_t i = 0; i < sets.size(); ++i) {
    Labels kept = wanted;
    for (size_t j = 0; j < sets.size(); ++j)
      if (j != i) kept |= sets[j];
    shared.push_back(sets[i] & kept);
  }
  return shared;
}

int64_t extent(const Term& t, const Dims& labels) {
  int64_t product = 1;
  for (const int64_t label : labels) product *= t.size(label);
  return product;
}

Dims joined(const Dims& a, const Dims& b) {
  Dims all = a;
  all.append(b.begin(), b.end());
  return all;
}

Shape sizes_in(const Term& t, const Dims& labels) {
  Shape shape;
  for (const int64_t label : labels) shape.push_back(t.size(label));
  return shape;
}

// The sum of products of two terms over the labels that are not in `kept`.
Term multiplied(const Term& a, const Term& b, const Labels& kept) {
  Dims batch, inner, rows, columns;
  for (const int64_t label : a.labels)
    (!has(b.labels, label) ? rows : kept[size_t(label)] ? batch : inner).push_back(label);
  for (const int64_t label : b.labels)
    if (!has(a.labels, label)) columns.push_back(label);
  const Dims labels = joined(joined(batch, rows), columns);
  if (inner.empty() || (rows.empty() && columns.empty())) {  // elementwise, and fuses
    Shape wide = sizes_in(a, joined(batch, rows));
    wide.resize(wide.size() + columns.size(), 1);
    const Shape more = sizes_in(a, inner);
    wide.append(more.begin(), more.end());
    Tensor left = reshape(arranged(a, joined(joined(batch, rows), inner)), wide);
    Shape thin = sizes_in(b, batch);
    thin.resize(thin.size() + rows.size(), 1);
    const Shape rest = sizes_in(b, joined(columns, inner));
    thin.append(rest.begin(), rest.end());
    const Tensor right = reshape(arranged(b, joined(batch, joined(columns, inner))), thin);
    return summed({left * right, joined(labels, inner)}, kept);
  }
  const Shape stack = sizes_in(a, batch);
  const int64_t m = extent(a, rows), k = extent(a, inner), n = extent(b, columns);
  Shape left = stack, right = stack, shape = stack;
  for (const int64_t size : {m, k}) left.push_back(size);
  for (const int64_t size : {k, n}) right.push_back(size);
  const Shape row_sizes = sizes_in(a, rows), column_sizes = sizes_in(b, columns);
  shape.append(row_sizes.begin(), row_sizes.end());
  shape.append(column_sizes.begin(), column_sizes.end());
  const Tensor y = matmul(reshape(arranged(a, joined(joined(batch, rows), inner)), left),
                          reshape(arranged(b, joined(joined(batch, inner), columns)), right));
  return {reshape(y, shape), labels};
}

// Which of two the result wants first: its rows.
bool comes_second(const Term& a, const Term& b, const Dims& result) {
  for (const int64_t label : result) {
    const bool in_a = has(a.labels, label), in_b = has(b.labels, label);
    if (in_a != in_b) return in_b;
  }
  return false;
}

// clang-format off
const Family kEinsum("Sums of products", {
    {.name = "einsum",
     .parameters = "subscripts: str, *operands: Tensors",
     .doc = "The sum of products that subscripts name (Einstein's convention, as NumPy writes it): "
            "a letter for each axis of each operand, commas between operands, '->' and the letters "
            "of the result. Axes with one letter are multiplied element by element, and summed "
            "over where the result lacks the letter; a letter twice in an operand is its diagonal. "
            "'...' stands for any other axes, which broadcast. Without '->' the result has those "
            "axes and the letters that appear once, in the order of ASCII. Operands are multiplied "
            "two at a time, each time by one matmul, in the order of the fewest operations "
            "(einsum_path shows it). ValueError where subscripts do not fit or sizes differ, "
            "TypeError for bool.",
     .call = [](const Args& a) { return Tensors{einsum(a.text(0), a.tensors(1))}; },
     .samples = "'ij,jk->ik', f(3, 4), f(4, 5);;'ij,jk,kl->il', f(3, 4), f(4, 5), f(5, 2);;"
                "'ij,jk', f(3, 4), f(4, 2);;'ba', f(2, 3);;'ii->i', f(3, 3);;'ii', f(3, 3);;"
                "'iji,j->ji', f(2, 3, 2), f(3);;'ij->', f(3, 4);;'i,j->ij', f(3), f(4);;"
                "'i,i->', f(4), f(4);;'bij,bjk->bik', f(2, 3, 4), f(2, 4, 2);;"
                "'bhqd,bhkd->bhqk', f(2, 2, 3, 4), f(2, 2, 5, 4);;"
                "'...ij,...jk->...ik', f(2, 3, 4), f(4, 2);;'...i->...', f(2, 3, 4);;"
                "'i...,...j->j...i', f(3, 2), f(1, 4);;'ij,ij->ij', f(3, 4), f(1, 4);;"
                "'a,ab,abc->abc', f(2), f(2, 3), f(2, 3, 4);;"
                "'ea,fb,abcd,gc,hd->efgh', f(2, 3), f(2, 3), f(3, 3, 3, 3), f(2, 3), f(2, 3);;"
                "'ij,jk->ki', f(0, 4), f(4, 2);;'ij,jk->ik', f(3, 0), f(0, 2);;',ij->ij', f(), f(2, 3);;"
                "'ij,jk->ik', c(2, 3), c(3, 2);;'ij,jk->ik', ints(-9, 9, 2, 3), ints(-9, 9, 3, 4)",
     .reference = "lambda s, *xs: numpy.einsum(s, *xs)",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace

Tensor contract(const Tensors& operands, const std::vector<Dims>& labels, const Dims& result,
                const char* op) {
  DType dtype = operands[0].dtype();
  Tensor first = operands[0];
  std::vector<Shape> shapes;
  for (const Tensor& x : operands) {
    shapes.push_back(x.shape());
    dtype = common_dtype(first, x);
    first = astype(first, dtype);
  }
  if (dtype == DType::bool_) fail(ErrorKind::type, op, ": not defined for bool; use astype first");
  const std::vector<double> sizes = sizes_of(shapes, labels, op);
  const Labels wanted = set_of(result);
  std::vector<Term> left;
  std::vector<Labels> sets;
  for (size_t i = 0; i < operands.size(); ++i) {
    left.push_back(diagonal_of(without_broadcast({astype(operands[i], dtype), labels[i]}, sizes)));
    sets.push_back(set_of(left[i].labels));
  }
  const std::vector<Labels> shared = without_lone(sets, wanted);
  for (size_t i = 0; i < left.size(); ++i) left[i] = summed(left[i], shared[i]);
  for (const auto& [i, j] : contraction_order(shared, wanted, sizes).path) {
    Term a = left[i], b = left[j];
    left.erase(left.begin() + std::ptrdiff_t(j));
    left.erase(left.begin() + std::ptrdiff_t(i));
    Labels kept = wanted;
    for (const Term& t : left) kept |= set_of(t.labels);
    if (comes_second(a, b, result)) std::swap(a, b);
    left.push_back(multiplied(a, b, kept));
  }
  return arranged(left[0], result);
}

Tensor einsum(const std::string& subscripts, const Tensors& operands) {
  std::vector<Shape> shapes;
  for (const Tensor& x : operands) shapes.push_back(x.shape());
  const Subscripts s = parse(subscripts, shapes);
  return contract(operands, s.operands, s.result, "einsum");
}

ContractionOrder einsum_order(const std::string& subscripts, const std::vector<Shape>& shapes) {
  const Subscripts s = parse(subscripts, shapes);
  const std::vector<double> sizes = sizes_of(shapes, s.operands, "einsum_path");
  std::vector<Labels> sets;
  for (size_t i = 0; i < shapes.size(); ++i) {
    Dims labels;  // without those that broadcast
    for (size_t k = 0; k < shapes[i].size(); ++k)
      if (shapes[i][k] != 1 || sizes[size_t(s.operands[i][k])] == 1)
        labels.push_back(s.operands[i][k]);
    sets.push_back(set_of(labels));
  }
  const Labels wanted = set_of(s.result);
  return contraction_order(without_lone(sets, wanted), wanted, sizes);
}

}  // namespace tegula
