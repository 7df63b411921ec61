// Orthogonal polynomials by their recurrences in the degree (DLMF 18.9): composites.
#include <string>
#include <utility>
#include <vector>

#include "ops/complex.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

constexpr int64_t kMostDegree = 1000;

// The factors of p[k + 1] = (a x + b) p[k] - c p[k - 1].
struct Factors {
  double a, b, c;
};

struct Kind {
  std::string_view name, doc, reference;
  Factors first;                 // of p[1], with p[-1] = 0
  Factors (*factors)(double k);  // k = 1, 2, ...
};

// clang-format off
constexpr Kind kKinds[] = {
    {"special.chebyshev_polynomial_t", "Chebyshev polynomials of the first kind, T", "eval_chebyt",
     {1, 0, 0}, [](double) -> Factors { return {2, 0, 1}; }},
    {"special.chebyshev_polynomial_u", "Chebyshev polynomials of the second kind, U", "eval_chebyu",
     {2, 0, 0}, [](double) -> Factors { return {2, 0, 1}; }},
    {"special.hermite_polynomial_h", "The physicists' Hermite polynomials, H", "eval_hermite",
     {2, 0, 0}, [](double k) -> Factors { return {2, 0, 2 * k}; }},
    {"special.hermite_polynomial_he", "The probabilists' Hermite polynomials, He", "eval_hermitenorm",
     {1, 0, 0}, [](double k) -> Factors { return {1, 0, k}; }},
    {"special.laguerre_polynomial_l", "Laguerre polynomials, L", "eval_laguerre",
     {-1, 1, 0}, [](double k) -> Factors { return {-1 / (k + 1), (2 * k + 1) / (k + 1), k / (k + 1)}; }},
    {"special.legendre_polynomial_p", "Legendre polynomials, P", "eval_legendre",
     {1, 0, 0}, [](double k) -> Factors { return {(2 * k + 1) / (k + 1), 0, k / (k + 1)}; }},
};
// clang-format on

Tensor polynomial(const Kind& kind, const Tensor& given, int64_t n) {
  require_order(given, kind.name.data());
  require(n >= 0 && n <= kMostDegree, kind.name, ": n must be between 0 and ", kMostDegree,
          ", got ", n);
  const Tensor x = widened(given);
  const auto linear = [&](const Factors& f) {
    const Tensor scaled = x * constant(f.a);
    return f.b == 0 ? scaled : scaled + constant(f.b);
  };
  Tensor before = full(x.shape(), scalar(1.0, x.dtype())), now = before;
  if (n > 0) now = linear(kind.first);
  for (int64_t k = 1; k < n; ++k) {
    const Factors f = kind.factors(double(k));
    const Tensor next = linear(f) * now - before * constant(f.c);
    before = now;
    now = next;
  }
  return astype(now, float_dtype(given.dtype()));
}

template <size_t I>
Tensors call(const Args& a) {
  return {polynomial(kKinds[I], a.tensor(0), a.integer(1))};
}

template <size_t... I>
std::vector<Op> make_ops(std::index_sequence<I...>) {
  static std::vector<std::string> texts;
  texts.reserve(2 * sizeof...(I));
  const auto kept = [](std::string text) -> std::string_view {
    return texts.emplace_back(std::move(text));
  };
  return {Op{.name = kKinds[I].name,
             .parameters = "x: Tensor, n: int",
             .doc = kept(cat(kKinds[I].doc,
                             ", of degree n at x (DLMF 18.9). ValueError for a negative n.")),
             .call = call<I>,
             .samples = "unit(3, 4), 4;;f(5), 1;;unit(3), 0;;unit(5), 13",
             .reference = kept(cat("lambda x, n: scipy.special.", kKinds[I].reference, "(n, x)")),
             .method = false,
             .differentiable = true,
             .tolerance = 1e-5}...};
}
const Family kPolynomials("Orthogonal polynomials",
                          make_ops(std::make_index_sequence<std::size(kKinds)>()));

}  // namespace
}  // namespace tegula
