// Functions of single elements that are no tile instructions: special functions in float64, also
// for float32, and a few of integers. Operands have one shape, in any layout.
#include <cmath>
#include <numeric>
#include <utility>

#include "backend/cpu/kernels.h"
#include "backend/cpu/special/special.h"
#include "backend/cpu/strided_loop.h"
#include "base/error.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kWork = 100;  // of one element

template <class T, size_t K, class F>
void apply(const KernelArgs& args, int64_t work, F f) {
  std::array<const Dims*, K> strides;
  std::array<const T*, K> data;
  for (size_t k = 0; k < K; ++k) {
    strides[k] = &args.inputs[k].strides;
    data[k] = args.inputs[k].as<T>();
  }
  T* out = args.outputs[0].as<T>();
  const StridedLoop<K> loop = merge_axes<K>(args.outputs[0].shape, strides);
  std::array<int64_t, K> step;
  for (size_t k = 0; k < K; ++k) step[k] = loop.strides[k].back();
  for_pieces(loop.count, work, [&](int64_t begin, int64_t end) {
    int64_t at = begin;
    for_each_run(loop, begin, end, [&](const std::array<int64_t, K>& offset, int64_t length) {
      for (int64_t i = 0; i < length; ++i)
        [&]<size_t... I>(std::index_sequence<I...>) {
          out[at + i] = T(f(data[I][offset[I] + i * step[I]]...));
        }(std::make_index_sequence<K>());
      at += length;
    });
  });
}

template <auto kFunction, size_t K>
void run_floats(const KernelArgs& args) {
  if (args.outputs[0].dtype == DType::float32) apply<float, K>(args, kWork, kFunction);
  else apply<double, K>(args, kWork, kFunction);
}
template <double (*kFunction)(double)>
constexpr Kernel one{run_floats<kFunction, 1>};
template <double (*kFunction)(double, double)>
constexpr Kernel two{run_floats<kFunction, 2>};
template <double (*kFunction)(double, double, double)>
constexpr Kernel three{run_floats<kFunction, 3>};

// Of the numbers' sizes, as NumPy has it; in the unsigned type, which has the least number's too.
struct Gcd {
  template <class T>
  static T apply(T a, T b) {
    using U = std::make_unsigned_t<T>;
    const auto size = [](T x) { return x < 0 ? U(U(0) - U(x)) : U(x); };
    return T(std::gcd(size(a), size(b)));
  }
};
struct Lcm {
  template <class T>
  static T apply(T a, T b) {
    using U = std::make_unsigned_t<T>;
    const auto size = [](T x) { return x < 0 ? U(U(0) - U(x)) : U(x); };
    const U x = size(a), y = size(b), common = U(std::gcd(x, y));
    return common == 0 ? T(0) : T(U(x / common) * uint64_t(y));
  }
};

template <class F>
void run_integers(const KernelArgs& args) {
  const auto as = [&]<class T>(T) {
    apply<T, 2>(args, 40, [](T a, T b) { return F::template apply<T>(a, b); });
  };
  switch (args.outputs[0].dtype) {
    case DType::int8:
      return as(int8_t{});
    case DType::int16:
      return as(int16_t{});
    case DType::int32:
      return as(int32_t{});
    case DType::int64:
      return as(int64_t{});
    case DType::uint8:
      return as(uint8_t{});
    case DType::uint16:
      return as(uint16_t{});
    case DType::uint32:
      return as(uint32_t{});
    default:
      return as(uint64_t{});
  }
}

double mantissa(double x) {
  int exponent;
  return std::frexp(x, &exponent);
}
double exponent(double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::isfinite(x) ? exponent : 0;
}
// Powers beyond those of a double's range are as good as its ends.
double ldexp(double x, double n) {
  return std::isnan(n) ? n : std::ldexp(x, int(std::fmax(-5000, std::fmin(5000, n))));
}
double fmod(double x, double y) { return std::fmod(x, y); }

constexpr KernelEntry kEntries[] = {
    {"lgamma", one<special::lgamma>},
    {"gamma", one<special::gamma>},
    {"digamma", one<special::digamma>},
    {"polygamma", two<special::polygamma>},
    {"zeta", two<special::zeta>},
    {"beta", two<special::beta>},
    {"betaln", two<special::betaln>},
    {"gammainc", two<special::gammainc>},
    {"gammaincc", two<special::gammaincc>},
    {"gammaincinv", two<special::gammaincinv>},
    {"gammaincinv_slope", two<special::gammaincinv_slope>},
    {"betainc", three<special::betainc>},
    {"erfc", one<special::erfc>},
    {"erfcx", one<special::erfcx>},
    {"erfinv", one<special::erfinv>},
    {"erfcinv", one<special::erfcinv>},
    {"ndtr", one<special::ndtr>},
    {"ndtri", one<special::ndtri>},
    {"log_ndtr", one<special::log_ndtr>},
    {"i0", one<special::i0>},
    {"i0e", one<special::i0e>},
    {"i1", one<special::i1>},
    {"i1e", one<special::i1e>},
    {"j0", one<special::j0>},
    {"j1", one<special::j1>},
    {"y0", one<special::y0>},
    {"y1", one<special::y1>},
    {"k0", one<special::k0>},
    {"k0e", one<special::k0e>},
    {"k1", one<special::k1>},
    {"k1e", one<special::k1e>},
    {"spherical_jn", two<special::spherical_jn>},
    {"exp1", one<special::exp1>},
    {"expi", one<special::expi>},
    {"ellipk", one<special::ellipk>},
    {"ellipe", one<special::ellipe>},
    {"poisson_quantile", two<special::poisson_quantile>},
    {"binomial_quantile", three<special::binomial_quantile>},
    {"gcd", {run_integers<Gcd>}},
    {"lcm", {run_integers<Lcm>}},
    {"mantissa", one<mantissa>},
    {"exponent", one<exponent>},
    {"ldexp", two<ldexp>},
    {"fmod", two<fmod>},
};

}  // namespace

std::span<const KernelEntry> special_kernels() { return kEntries; }

}  // namespace tegula::cpu
