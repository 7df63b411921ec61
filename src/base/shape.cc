#include "base/shape.h"

#include <algorithm>
#include <ostream>

#include "base/error.h"

namespace tegula {
int64_t checked_numel(const Shape& shape, std::string_view what) {
  int64_t product = 1;  // of the sizes that are not 0, which have a product even if there is a 0
  bool large = false, negative = false, empty = false;
  for (const int64_t size : shape) {
    negative |= size < 0;
    empty |= size == 0;
    if (size) large |= __builtin_mul_overflow(product, size, &product);
  }
  require(!negative, what, ": sizes must not be negative, got shape ", shape);
  require(!large && product <= kMaxElements, what, ": shape ", shape, " has too many elements");
  return empty ? 0 : product;
}

Strides contiguous_strides(const Shape& shape) {
  Strides strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

Strides channels_last_strides(const Shape& shape) {
  Strides strides(shape.size());
  int64_t step = 1;
  const auto give = [&](size_t axis) {
    strides[axis] = step;
    step *= std::max<int64_t>(shape[axis], 1);
  };
  give(1);
  for (size_t axis = shape.size(); axis-- > 2;) give(axis);
  give(0);
  return strides;
}

bool is_contiguous(const Shape& shape, const Strides& strides) {
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

bool is_dense(const Shape& shape, const Strides& strides) {
  SmallVector<size_t, 4> axes;
  for (size_t a = 0; a < shape.size(); ++a) {
    if (shape[a] == 0) return true;
    if (shape[a] != 1) axes.push_back(a);
  }
  std::sort(axes.begin(), axes.end(), [&](size_t a, size_t b) { return strides[a] > strides[b]; });
  int64_t step = 1;
  for (size_t i = axes.size(); i-- > 0; step *= shape[axes[i]])
    if (strides[axes[i]] != step) return false;
  return true;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  if (a == b) return a;
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape out = longer;
  const size_t lead = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    const int64_t x = longer[lead + i], y = shorter[i];
    require(x == y || x == 1 || y == 1, op, ": shapes ", a, " and ", b, " do not broadcast: sizes ",
            x, " and ", y, " differ at axis ", int64_t(lead + i) - int64_t(longer.size()),
            " and neither is 1");
    out[lead + i] = x == 1 ? y : x;
  }
  return out;
}

int64_t normalize_axis(int64_t axis, size_t rank, const char* op) {
  const int64_t r = int64_t(rank);
  if (axis < -r || axis >= r) {
    if (r == 0) fail(ErrorKind::index, op, ": axis ", axis, " given for a 0-d tensor");
    fail(ErrorKind::index, op, ": axis ", axis, " is out of range for ", r,
         " dimensions (valid: ", -r, " to ", r - 1, ")");
  }
  return axis < 0 ? axis + r : axis;
}

Dims normalize_axes(const Dims& axes, size_t rank, const char* op) {
  Dims out;
  for (int64_t axis : axes) out.push_back(normalize_axis(axis, rank, op));
  std::sort(out.begin(), out.end());
  for (size_t i = 1; i < out.size(); ++i)
    require(out[i] != out[i - 1], op, ": axis ", out[i], " is given twice in ", axes);
  return out;
}

std::string to_string(const Dims& dims) {
  std::string out = "(";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i) out += ", ";
    out += std::to_string(dims[i]);
  }
  return out + (dims.size() == 1 ? ",)" : ")");
}

std::ostream& operator<<(std::ostream& out, const Dims& dims) { return out << to_string(dims); }

}  // namespace tegula
