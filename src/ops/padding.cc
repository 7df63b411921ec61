// pad: what surrounds the elements of a tensor.
#include <algorithm>

#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

enum class Border : uint8_t { edge, reflect, symmetric, wrap };

Border border_named(const std::string& mode) {
  if (mode == "edge") return Border::edge;
  if (mode == "reflect") return Border::reflect;
  if (mode == "symmetric") return Border::symmetric;
  if (mode == "wrap") return Border::wrap;
  fail(ErrorKind::value,
       "pad: mode must be 'constant', 'edge', 'reflect', 'symmetric' or 'wrap', "
       "got '",
       mode, "'");
}

// Elements [begin, end) of an axis, in order or the last first.
Tensor run_of(const Tensor& x, size_t axis, int64_t begin, int64_t end, bool backward) {
  const Tensor part = part_of(x, axis, begin, end);
  return backward ? flip(part, {int64_t(axis)}) : part;
}

// The axis as runs of neighbours: forward through it, back again, and so on.
Tensor surrounded(const Tensor& x, size_t axis, int64_t before, int64_t after, Border border) {
  const int64_t n = x.shape()[axis];
  if (before == 0 && after == 0) return x;
  require(n > 0, "pad: axis ", axis, " of shape ", x.shape(), " has nothing to be padded with");
  Tensors parts;
  const auto repeated = [&](int64_t at, int64_t count) {
    Shape shape = x.shape();
    shape[axis] = count;
    parts.push_back(broadcast_to(part_of(x, axis, at, at + 1), shape));
  };
  if (border == Border::edge || (border == Border::reflect && n == 1)) {
    if (before > 0) repeated(0, before);
    parts.push_back(x);
    if (after > 0) repeated(n - 1, after);
    return concat(parts, int64_t(axis));
  }
  const int64_t period = border == Border::wrap        ? n
                         : border == Border::symmetric ? 2 * n
                                                       : 2 * n - 2;
  for (int64_t at = -before, end = n + after; at < end;) {
    const int64_t phase = ((at % period) + period) % period;
    const bool backward = phase >= n;
    const int64_t count = std::min((backward ? period : n) - phase, end - at);
    if (backward) {
      const int64_t top = border == Border::symmetric ? 2 * n - 1 - phase : 2 * n - 2 - phase;
      parts.push_back(run_of(x, axis, top - count + 1, top + 1, true));
    } else {
      parts.push_back(run_of(x, axis, phase, phase + count, false));
    }
    at += count;
  }
  return concat(parts, int64_t(axis));
}

// A single int stands for one per axis.
Dims per_axis(const Dims& given, size_t rank, const char* what) {
  if (given.size() == 1) return Dims(rank, given[0]);
  require(given.size() == rank, "pad: ", what, " needs one int or one for each of the ", rank,
          " axes, got ", given);
  return given;
}

Tensor pad_any(const Args& a) {
  const Tensor& x = a.tensor(0);
  const Dims before = per_axis(a.ints(1), x.rank(), "before");
  const Dims after = per_axis(a.ints(2), x.rank(), "after");
  if (a.text(4) == "constant") return pad(x, before, after, a.tensor(3));
  const Border border = border_named(a.text(4));
  Shape shape = x.shape();
  for (size_t i = 0; i < x.rank(); ++i) {
    constexpr int64_t kMost = int64_t(1) << 31;  // in elements, and a thousand runs
    require(before[i] >= 0 && after[i] >= 0, "pad: before ", before, " and after ", after,
            " must not be negative");
    require(before[i] < kMost && after[i] < kMost &&
                (border == Border::edge || std::max(before[i], after[i]) / 1024 <= x.shape()[i]),
            "pad: before ", before, " and after ", after, " are too large for shape ", x.shape());
    shape[i] += before[i] + after[i];
  }
  checked_numel(shape, "pad");
  Tensor y = x;
  for (size_t i = 0; i < x.rank(); ++i) y = surrounded(y, i, before[i], after[i], border);
  return y;
}

// clang-format off
const Family kPadding("Padding", {
    {.name = "pad",
     .parameters = "x: Tensor, before: ints, after: ints, value: Tensor = 0, "
                   "mode: str = 'constant'",
     .doc = "x with elements put before and after its own: so many along each axis. mode says "
            "which, with NumPy's names: value for 'constant', the outermost elements for 'edge', "
            "x's mirror image without and with those for 'reflect' and 'symmetric', x from its "
            "other end for 'wrap'. ValueError for another mode, and where there is nothing to "
            "take.",
     .call = [](const Args& a) { return Tensors{pad_any(a)}; },
     .samples = "f(2, 3), 1, 2;;f(2, 3), (0, 1), (2, 0), 1.5;;f(3), 0, 0;;"
                "f(3, 4), (1, 2), (2, 3), mode='edge';;f(3, 4), (1, 2), (2, 3), mode='reflect';;"
                "f(3, 4), (1, 2), (2, 3), mode='symmetric';;f(3, 4), (1, 2), (2, 3), mode='wrap';;"
                "f(3), 7, 8, mode='reflect';;f(3), 7, 8, mode='symmetric';;f(3), 7, 8, mode='wrap';;"
                "f(1), 2, 3, mode='reflect';;f(0, 2), (0, 1), (0, 1), mode='wrap'",
     .reference = "reference.pad",
     .differentiable = true},
});
// clang-format on

}  // namespace
}  // namespace tegula
