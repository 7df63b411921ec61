// Images resized: every axis by itself, as weighted sums of neighbours.
#include <algorithm>
#include <cmath>

#include "graph/resample_attrs.h"
#include "ops/batching.h"
#include "ops/indexing.h"
#include "ops/op.h"

namespace tegula {
namespace {

// x (P, H, W) -> (P, H', W'), linear in x.
const Primitive kResample = {
    .name = "resample",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const auto [rows, columns, transposed] = read_attrs<ResampleAttrs>(c.attrs);
          Shape shape{c.shape(0)[0], transposed ? rows.from : rows.to,
                      transposed ? columns.from : columns.to};
          checked_numel(shape, "interpolate");
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          ResampleAttrs attrs = read_attrs<ResampleAttrs>(c.attrs());
          attrs.transposed = !attrs.transposed;
          c.give(0, record(kResample, {c.grad()}, write_attrs(attrs)));
        },
    .batch = batch_by_merging,
};

constexpr ResampleAxis kept(int64_t size) { return {size, size, kResampleNearest, 0, 0, 1}; }

struct Resizing {
  const char* name;
  ResampleMode mode;
  size_t axes;  // how many there must be, 0 for any
};
constexpr Resizing kResizings[] = {
    {"nearest", kResampleNearest, 0},  {"nearest-exact", kResampleNearestExact, 0},
    {"linear", kResampleLinear, 1},    {"bilinear", kResampleLinear, 2},
    {"trilinear", kResampleLinear, 3}, {"bicubic", kResampleCubic, 2},
    {"area", kResampleArea, 0},
};

const Resizing& resizing_named(const std::string& mode, size_t axes) {
  for (const Resizing& r : kResizings) {
    if (r.name != mode) continue;
    require(r.axes == 0 || r.axes == axes, "interpolate: mode '", mode, "' is for x with ", r.axes,
            r.axes == 1 ? " axis" : " axes", " after (N, C), got ", axes);
    return r;
  }
  fail(ErrorKind::value,
       "interpolate: mode must be 'nearest', 'nearest-exact', 'linear', "
       "'bilinear', 'bicubic', 'trilinear' or 'area', got '",
       mode, "'");
}

constexpr int64_t kMost = int64_t(1) << 30;  // of sizes

ResampleAxis axis_of(const Args& a, int64_t from, size_t i, size_t axes, const Resizing& r) {
  ResampleAxis axis = {from, 0, r.mode, a.boolean(4), a.boolean(5), 0};
  if (a.has(1)) {
    axis.to = a.per_axis(1, axes, "interpolate: size")[i];
    require(axis.to > 0 && axis.to < kMost, "interpolate: size must be positive, got ", axis.to);
    axis.scale = double(from) / double(axis.to);
  } else {
    const double factor = a.real(2);
    const double to = std::floor(double(from) * factor);
    require(std::isfinite(factor) && to >= 1 && to < double(kMost), "interpolate: scale_factor ",
            factor, " makes an axis of size ", from, " empty or too large");
    axis.to = int64_t(to);
    axis.scale = 1 / factor;
  }
  if (axis.align_corners) axis.scale = axis.to > 1 ? double(from - 1) / double(axis.to - 1) : 0;
  return axis;
}

Tensor resample(const Tensor& x, const ResampleAxis& rows, const ResampleAxis& columns) {
  const Tensor y = record(kResample, {widened(x)}, write_attrs(ResampleAttrs{rows, columns, 0}));
  return astype(y, x.dtype());
}

// Of integers and bools, along one axis: the nearest.
Tensor pick(const Tensor& x, size_t axis, const ResampleAxis& a) {
  Tensor at = astype(iota(a.to), DType::float64);
  if (a.mode == kResampleNearestExact) at = at + constant(0.5);
  at =
      minimum(astype(at * constant(a.scale), DType::int64), scalar(a.from - 1, DType::int64, true));
  return gather_checked(x, at, axis);
}

Tensor interpolate(const Args& a) {
  const Tensor& x = a.tensor(0);
  require(x.rank() >= 3 && x.rank() <= 5,
          "interpolate: x must be (N, C, L), (N, C, H, W) or (N, C, "
          "D, H, W), got shape ",
          x.shape());
  require(a.has(1) != a.has(2), "interpolate: needs either size or scale_factor");
  const size_t axes = x.rank() - 2;
  const Resizing& r = resizing_named(a.text(3), axes);
  const bool weighs = r.mode == kResampleLinear || r.mode == kResampleCubic;
  require(weighs || !a.boolean(4), "interpolate: align_corners means nothing for mode '", r.name,
          "'");
  require(r.axes == 2 || !a.boolean(5),
          "interpolate: antialias is for the modes 'bilinear' and "
          "'bicubic', got '",
          r.name, "'");
  SmallVector<ResampleAxis, 3> each;
  Shape shape = x.shape();
  for (size_t i = 0; i < axes; ++i) {
    require(x.shape()[2 + i] > 0 && x.shape()[2 + i] < kMost, "interpolate: x of shape ", x.shape(),
            " has nothing to take from, or too much");
    each.push_back(axis_of(a, x.shape()[2 + i], i, axes, r));
    shape[2 + i] = each[i].to;
  }
  checked_numel(shape, "interpolate");
  if (!is_floating(x.dtype())) {
    if (weighs || r.mode == kResampleArea || is_complex(x.dtype()))
      fail(ErrorKind::type, "interpolate: mode '", r.name, "' needs a floating-point tensor, got ",
           x.dtype());
    Tensor y = x;
    for (size_t i = 0; i < axes; ++i) y = pick(y, 2 + i, each[i]);
    return y;
  }
  const int64_t planes = x.shape()[0] * x.shape()[1];
  if (axes == 1)
    return reshape(resample(reshape(x, {planes, 1, x.shape()[2]}), kept(1), each[0]), shape);
  if (axes == 2)
    return reshape(resample(reshape(x, {planes, x.shape()[2], x.shape()[3]}), each[0], each[1]),
                   shape);
  const int64_t depth = x.shape()[2];
  const Tensor flat = reshape(x, {planes * depth, x.shape()[3], x.shape()[4]});
  const int64_t area = each[1].to * each[2].to;
  const Tensor slices = reshape(resample(flat, each[1], each[2]), {planes, depth, area});
  return reshape(resample(slices, each[0], kept(area)), shape);
}

// clang-format off
const Family kResizingFamily("Resizing", {
    {.name = "interpolate",
     .parameters = "x: Tensor, size: ints? = None, scale_factor: float? = None, "
                   "mode: str = 'nearest', align_corners: bool = False, antialias: bool = False",
     .doc = "x (N, C, L), (N, C, H, W) or (N, C, D, H, W) resized to size (one int, or one for each "
            "axis after C), or by scale_factor, with the conventions of PyTorch. mode: 'nearest' "
            "(the element below), 'nearest-exact' (the nearest), 'linear', 'bilinear' and "
            "'trilinear' for one, two and three axes, 'bicubic' (Keys 1981, with a = -0.75), 'area' "
            "(means). align_corners puts the first and last elements upon each other, not the "
            "outer edges. antialias widens the filter of 'bilinear' and 'bicubic' (a = -0.5) where "
            "x is made smaller. 'nearest' takes any real dtype, the others floating-point ones. "
            "ValueError for another mode, or where both or neither of size and scale_factor are "
            "given.",
     .call = [](const Args& a) { return Tensors{interpolate(a)}; },
     .samples = "f(2, 3, 5, 4), (10, 7), mode='bilinear';;f(2, 3, 5), 8;;f(1, 2, 5, 4), (3, 9);;"
                "f(1, 2, 3, 4, 5), (5, 2, 7);;f(2, 2, 7), None, 0.6;;"
                "f(1, 2, 5, 6), (7, 4), None, 'nearest-exact';;f(2, 3, 6), 9, mode='linear';;"
                "f(2, 3, 6), 1, mode='linear', align_corners=True;;"
                "f(1, 2, 40, 37), (23, 70), mode='bilinear', align_corners=True;;"
                "f(1, 2, 5, 4), None, 2.5, 'bilinear';;f(1, 1, 4, 5), (9, 3), None, 'bicubic';;"
                "f(1, 2, 4, 5), (7, 7), mode='bicubic', align_corners=True;;"
                "f(1, 2, 3, 4, 5), (5, 2, 7), mode='trilinear';;"
                "f(1, 2, 7, 5), (3, 8), mode='area';;f(2, 2, 7), 3, mode='area';;"
                "f(1, 2, 9, 8), (4, 11), mode='bilinear', antialias=True;;"
                "f(1, 2, 9, 8), (4, 3), mode='bicubic', antialias=True;;f(0, 2, 3), 5;;"
                "ints(-9, 9, 1, 2, 4, 5), (3, 8);;f(1, 1, 3, 100), (3, 30), mode='bilinear'",
     .reference = "reference.interpolate",
     .method = false,
     .differentiable = true,
     .tolerance = 2e-6},
});
// clang-format on

}  // namespace
}  // namespace tegula
