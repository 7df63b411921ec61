// Activations made of pieces, gates, and the smooth ones beside them: composites. At a corner the
// slope is that of the flat side, as PyTorch has it. Computed in at least float32.
#include <cmath>

#include "ops/complex.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

// f(x) for x in at least float32, in x's own floating dtype.
template <class F>
Tensor activation(const Tensor& x, const char* op, F f) {
  require_order(x, op);
  return astype(f(widened(x)), float_dtype(x.dtype()));
}

Tensor less_or_equal(const Tensor& x, double bound) { return less_equal(x, constant(bound)); }

// x between two bounds, flat from either bound on; NaN stays NaN.
Tensor between(const Tensor& x, double least, double most) {
  return where(less_or_equal(x, least), constant(least),
               where(greater_equal(x, constant(most)), constant(most), x));
}

Tensor relu6(const Tensor& given) {
  return activation(given, "relu6", [](const Tensor& x) { return between(x, 0, 6); });
}

Tensor hardtanh(const Tensor& given, double least, double most) {
  require(least <= most, "hardtanh: min_val must not be above max_val, got ", least, " and ", most);
  return activation(given, "hardtanh", [&](const Tensor& x) { return between(x, least, most); });
}

Tensor hardsigmoid(const Tensor& given) {
  return activation(given, "hardsigmoid", [](const Tensor& x) {
    return between(x, -3, 3) * constant(1.0 / 6) + constant(0.5);
  });
}

Tensor hardswish(const Tensor& given) {
  return activation(given, "hardswish", [](const Tensor& x) {
    const Tensor inner = x * (x + constant(3)) * constant(1.0 / 6);
    return where(less_or_equal(x, -3), constant(0), where(greater_equal(x, constant(3)), x, inner));
  });
}

// scale * (x where it is positive, else alpha * (exp(x / width) - 1)).
Tensor exponential_below(const Tensor& x, double scale, double alpha, double width) {
  const Tensor positive = greater(x, constant(0));
  const Tensor below = expm1(where(positive, constant(0), x) * constant(1 / width));
  return where(positive, x * constant(scale), below * constant(scale * alpha));
}

Tensor selu(const Tensor& given) {
  return activation(given, "selu", [](const Tensor& x) {
    return exponential_below(x, 1.0507009873554804934193349852946,
                             1.6732632423543772848170429916717, 1);
  });
}

Tensor celu(const Tensor& given, double alpha) {
  require(alpha != 0, "celu: alpha must not be 0");
  return activation(given, "celu",
                    [&](const Tensor& x) { return exponential_below(x, 1, alpha, alpha); });
}

Tensor mish(const Tensor& given) {
  return activation(given, "mish", [](const Tensor& x) {
    const Tensor softplus = maximum(x, constant(0)) + log1p(exp(-abs(x)));
    return x * tanh(softplus);
  });
}

Tensor prelu(const Tensor& given, const Tensor& weight) {
  require_order(weight, "prelu");
  require(weight.rank() <= 1,
          "prelu: weight must have one number, or one for each channel (C,), got "
          "shape ",
          weight.shape());
  Tensor slope = weight;
  if (weight.rank() == 1 && weight.size() == 1) {
    slope = reshape(weight, {});
  } else if (weight.rank() == 1) {
    const size_t axis = given.rank() > 1;
    require(given.rank() > 0 && given.shape()[axis] == weight.size(), "prelu: weight of shape ",
            weight.shape(), " does not fit x of shape ", given.shape(),
            ", whose channels are axis 1");
    Shape along(given.rank() - axis, 1);
    along[0] = weight.size();
    slope = reshape(weight, along);
  }
  return activation(given, "prelu", [&](const Tensor& x) {
    return where(greater(x, constant(0)), x, x * astype(slope, x.dtype()));
  });
}

Tensor glu(const Tensor& given, int64_t axis) {
  const size_t at = size_t(normalize_axis(axis, given.rank(), "glu"));
  const int64_t size = given.shape()[at];
  require(size % 2 == 0, "glu: axis ", axis, " must have an even size, got ", size);
  return activation(given, "glu", [&](const Tensor& x) {
    return part_of(x, at, 0, size / 2) * sigmoid(part_of(x, at, size / 2, size));
  });
}

Tensor softsign(const Tensor& given) {
  return activation(given, "softsign", [](const Tensor& x) { return x / (abs(x) + constant(1)); });
}

Tensor tanhshrink(const Tensor& given) {
  return activation(given, "tanhshrink", [](const Tensor& x) { return x - tanh(x); });
}

Tensor softshrink(const Tensor& given, double lambd) {
  require(lambd >= 0, "softshrink: lambd must not be negative, got ", lambd);
  return activation(given, "softshrink", [&](const Tensor& x) {
    const Tensor edge = where(greater(x, constant(0)), constant(lambd), constant(-lambd));
    return where(less_or_equal(abs(x), lambd), constant(0), x - edge);
  });
}

Tensor hardshrink(const Tensor& given, double lambd) {
  return activation(given, "hardshrink", [&](const Tensor& x) {
    return where(less_or_equal(abs(x), lambd), constant(0), x);
  });
}

Tensor threshold(const Tensor& given, double bound, double value) {
  return activation(given, "threshold", [&](const Tensor& x) {
    return where(less_or_equal(x, bound), constant(value), x);
  });
}

Tensor softmin(const Tensor& x, int64_t axis) {
  require_order(x, "softmin");
  normalize_axis(axis, x.rank(), "softmin");
  return softmax(-astype(x, float_dtype(x.dtype())), axis);
}

template <Tensor (*kFunction)(const Tensor&)>
Tensors unary(const Args& a) {
  return {kFunction(a.tensor(0))};
}
template <Tensor (*kFunction)(const Tensor&, double)>
Tensors with_number(const Args& a) {
  return {kFunction(a.tensor(0), a.real(1))};
}
template <Tensor (*kFunction)(const Tensor&, double, double)>
Tensors with_numbers(const Args& a) {
  return {kFunction(a.tensor(0), a.real(1), a.real(2))};
}
template <Tensor (*kFunction)(const Tensor&, int64_t)>
Tensors along_axis(const Args& a) {
  return {kFunction(a.tensor(0), a.integer(1))};
}

Op row(std::string_view name, std::string_view parameters, std::string_view doc,
       Tensors (*call)(const Args&), std::string_view samples, std::string_view reference) {
  return {.name = name,
          .parameters = parameters,
          .doc = doc,
          .call = call,
          .samples = samples,
          .reference = reference,
          .method = false,
          .differentiable = true,
          .tolerance = 2e-6};
}

// clang-format off
const Family kPiecewise("Piecewise and gated activations", {
    row("relu6", "x: Tensor", "x kept between 0 and 6 (Krizhevsky, 2010).", unary<relu6>,
        "4 * f(3, 4)", "lambda x: numpy.clip(x, 0, 6)"),
    row("hardtanh", "x: Tensor, min_val: float = -1.0, max_val: float = 1.0",
        "x kept between min_val and max_val; the slope at either is 0.", with_numbers<hardtanh>,
        "f(3, 4);;f(3, 4), -0.25, 0.5",
        "lambda x, least=-1.0, most=1.0: numpy.clip(x, least, most)"),
    row("hardsigmoid", "x: Tensor", "(x + 3) / 6 kept between 0 and 1 (Courbariaux et al., 2015).",
        unary<hardsigmoid>, "4 * f(3, 4)", "lambda x: numpy.clip(x + 3, 0, 6) / 6"),
    row("hardswish", "x: Tensor", "x * hardsigmoid(x) (Howard et al., 2019).", unary<hardswish>,
        "4 * f(3, 4)", "lambda x: x * numpy.clip(x + 3, 0, 6) / 6"),
    row("selu", "x: Tensor",
        "scale * elu(x, alpha), with the constants that keep mean 0 and variance 1 (Klambauer et al., "
        "2017).",
        unary<selu>, "f(3, 4)",
        "lambda x: 1.0507009873554805 * numpy.where(x > 0, x, 1.6732632423543772 * numpy.expm1(x))"),
    row("celu", "x: Tensor, alpha: float = 1.0",
        "x where it is positive, else alpha * (exp(x / alpha) - 1) (Barron, 2017). ValueError for an "
        "alpha of 0.",
        with_number<celu>, "f(3, 4);;f(3, 4), 0.5",
        "lambda x, alpha=1.0: numpy.where(x > 0, x, alpha * numpy.expm1(x / alpha))"),
    row("mish", "x: Tensor", "x * tanh(softplus(x)) (Misra, 2019).", unary<mish>,
        "f(3, 4);;f(3, 4) * 100", "lambda x: x * numpy.tanh(numpy.logaddexp(x, 0))"),
    row("prelu", "x: Tensor, weight: Tensor",
        "x where it is positive, else weight * x; weight has one number, or one for each channel, "
        "which are axis 1 of x (He et al., 2015).",
        [](const Args& a) { return Tensors{prelu(a.tensor(0), a.tensor(1))}; },
        "f(3, 4), f(4);;f(2, 3, 4), f(3);;f(5), f(1);;f(2, 2), 0.3",
        "reference.prelu"),
    row("glu", "x: Tensor, axis: int = -1",
        "The first half of axis times the sigmoid of the second (Dauphin et al., 2017). ValueError "
        "for an odd size.",
        along_axis<glu>, "f(3, 4);;f(4, 3, 2), 0",
        "lambda x, axis=-1: (lambda a, b: a * scipy.special.expit(b))(*numpy.split(x, 2, axis))"),
    row("softsign", "x: Tensor", "x / (1 + abs(x)).", unary<softsign>, "f(3, 4)",
        "lambda x: x / (1 + abs(x))"),
    row("tanhshrink", "x: Tensor", "x - tanh(x).", unary<tanhshrink>, "f(3, 4)",
        "lambda x: x - numpy.tanh(x)"),
    row("softshrink", "x: Tensor, lambd: float = 0.5",
        "x brought lambd closer to 0, 0 within lambd of it. ValueError for a negative lambd.",
        with_number<softshrink>, "f(3, 4);;f(3, 4), 0.25",
        "lambda x, lambd=0.5: numpy.sign(x) * numpy.maximum(abs(x) - lambd, 0)"),
    row("hardshrink", "x: Tensor, lambd: float = 0.5", "x, but 0 within lambd of 0.",
        with_number<hardshrink>, "f(3, 4);;f(3, 4), 0.25",
        "lambda x, lambd=0.5: numpy.where(abs(x) > lambd, x, 0)"),
    row("threshold", "x: Tensor, threshold: float, value: float",
        "x where it is above threshold, else value.", with_numbers<threshold>,
        "f(3, 4), 0.25, -2.0", "lambda x, threshold, value: numpy.where(x > threshold, x, value)"),
    row("softmin", "x: Tensor, axis: int = -1", "softmax(-x).", along_axis<softmin>,
        "f(3, 4);;f(3, 4), 0", "lambda x, axis=-1: scipy.special.softmax(-x, axis)"),
});
// clang-format on

}  // namespace
}  // namespace tegula
