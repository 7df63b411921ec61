// Images read at any place: grid_sample, and the grids of affine maps.
#include <algorithm>

#include "ops/indexing.h"
#include "ops/op.h"

namespace tegula {
namespace {

Tensor floored(const Tensor& x) { return floor_divide(x, constant(1)); }

struct Sampling {
  const char* padding;
  bool align_corners;

  bool zeros() const { return padding == std::string_view("zeros"); }

  // From -1 .. 1 to elements: the outer edges of the first and last, or their centres.
  Tensor place(const Tensor& at, int64_t size) const {
    if (align_corners) return (at + constant(1)) * constant(double(size - 1) / 2);
    return ((at + constant(1)) * constant(double(size)) - constant(1)) * constant(0.5);
  }

  // What is outside mirrored into [low, low + span].
  static Tensor mirrored(const Tensor& x, double low, double span) {
    if (span <= 0) return x * constant(0);
    const Tensor from = abs(x - constant(low));
    const Tensor turns = floored(from * constant(1 / span));
    const Tensor rest = from - turns * constant(span);
    const Tensor odd = equal(remainder(turns, constant(2)), constant(1));
    return where(odd, constant(span) - rest, rest) + constant(low);
  }

  // A place inside the image, unless outside there are zeros.
  Tensor inside(const Tensor& x, int64_t size) const {
    if (zeros()) return x;
    const bool mirror = padding == std::string_view("reflection");
    const Tensor at = !mirror         ? x
                      : align_corners ? mirrored(x, 0, double(size - 1))
                                      : mirrored(x, -0.5, double(size));
    return minimum(maximum(at, constant(0)), constant(double(size - 1)));
  }
};

struct Neighbour {
  Tensor index;   // int64, inside the axis
  Tensor weight;  // of the element, 0 outside of the image; none for 1
};

// The element at a whole place.
Neighbour neighbour(const Tensor& at, const Tensor& weight, int64_t size, bool zeros) {
  const Tensor top = constant(double(size - 1));
  const Tensor known = where(greater_equal(at, constant(0)), at, constant(0));  // for NaN too
  const Tensor index = astype(minimum(known, top), DType::int64);
  if (!zeros) return {index, weight};
  const Tensor within = logical_and(greater_equal(at, constant(0)), less_equal(at, top));
  return {index, weight ? where(within, weight, constant(0)) : astype(within, at.dtype())};
}

// The weights of four neighbours at distances 1 + t, t, 1 - t and 2 - t: Keys' cubic convolution
// with a = -0.75.
Tensor cubic_weight(const Tensor& t, int k) {
  constexpr double a = -0.75;
  const auto c = [](double v) { return constant(v); };
  const auto far = [&](const Tensor& x) {  // 1 <= x <= 2
    return ((c(a) * x - c(5 * a)) * x + c(8 * a)) * x - c(4 * a);
  };
  const auto near = [&](const Tensor& x) { return (c(a + 2) * x - c(a + 3)) * x * x + c(1); };
  switch (k) {
    case 0:
      return far(t + c(1));
    case 1:
      return near(t);
    case 2:
      return near(c(1) - t);
    default:
      return far(c(2) - t);
  }
}

std::vector<Neighbour> neighbours(const Tensor& given, int64_t size, const std::string& mode,
                                  const Sampling& s) {
  const Tensor at = s.place(given, size);
  if (mode == "nearest") return {neighbour(round(s.inside(at, size)), {}, size, s.zeros())};
  if (mode == "bilinear") {
    const Tensor x = s.inside(at, size), lower = floored(x), t = x - lower;
    return {neighbour(lower, constant(1) - t, size, s.zeros()),
            neighbour(lower + constant(1), t, size, s.zeros())};
  }
  const Tensor lower = floored(at), t = at - lower;
  std::vector<Neighbour> all;
  for (int k = 0; k < 4; ++k) {
    const Tensor place = lower + constant(k - 1);
    all.push_back(neighbour(s.zeros() ? place : round(s.inside(place, size)), cubic_weight(t, k),
                            size, s.zeros()));
  }
  return all;
}

// One element of each axis, for every combination of the axes' neighbours.
template <class F>
void for_corners(const std::vector<std::vector<Neighbour>>& axes, F&& visit) {
  std::vector<size_t> k(axes.size(), 0);
  while (true) {
    visit(k);
    size_t axis = axes.size();
    while (axis-- > 0) {
      if (++k[axis] < axes[axis].size()) break;
      k[axis] = 0;
    }
    if (axis == SIZE_MAX) return;
  }
}

Tensor grid_sample(const Args& a) {
  const Tensor &given = a.tensor(0), &grid = a.tensor(1);
  const std::string &mode = a.text(2), &padding = a.text(3);
  require(given.rank() == 4 || given.rank() == 5,
          "grid_sample: x must be (N, C, H, W) or (N, C, D, "
          "H, W), got shape ",
          given.shape());
  const size_t axes = given.rank() - 2;
  require(grid.rank() == given.rank() && grid.shape().back() == int64_t(axes) &&
              grid.shape()[0] == given.shape()[0],
          "grid_sample: grid of shape ", grid.shape(), " must be (N, ..., ", axes,
          ") for x of shape ", given.shape());
  for (const Tensor* x : {&given, &grid})
    if (!is_floating(x->dtype()))
      fail(ErrorKind::type, "grid_sample: needs floating-point tensors, got ", x->dtype());
  require(mode == "bilinear" || mode == "nearest" || (mode == "bicubic" && axes == 2),
          "grid_sample: mode must be 'bilinear', 'nearest' or, for images, 'bicubic', got '", mode,
          "'");
  require(padding == "zeros" || padding == "border" || padding == "reflection",
          "grid_sample: padding_mode must be 'zeros', 'border' or 'reflection', got '", padding,
          "'");
  for (size_t i = 1; i < given.rank(); ++i)
    require(given.shape()[i] > 0, "grid_sample: x of shape ", given.shape(), " is empty");
  const Tensor x = widened(given);
  const int64_t n = x.shape()[0], channels = x.shape()[1];
  const Sampling sampling = {padding.c_str(), a.boolean(4)};

  Shape places(grid.shape().begin(), grid.shape().end() - 1);
  const int64_t count = numel(Shape(places.begin() + 1, places.end()));
  const Tensor points = reshape(astype(grid, x.dtype()), {n, count, int64_t(axes)});
  std::vector<std::vector<Neighbour>> near;  // of D, H and W; the grid's last axis begins with x
  for (size_t i = 0; i < axes; ++i) {
    const Tensor at = squeeze(part_of(points, 2, int64_t(axes - 1 - i), int64_t(axes - i)), {2});
    near.push_back(neighbours(at, x.shape()[2 + i], mode, sampling));
  }

  // Pixels in rows of channels: (N * D * H * W, C).
  Dims last;
  for (size_t i = 0; i < x.rank(); ++i)
    if (i != 1) last.push_back(int64_t(i));
  last.push_back(1);
  int64_t area = 1;
  for (size_t i = 0; i < axes; ++i) area *= x.shape()[2 + i];
  const Tensor pixels = reshape(permute_dims(x, last), {n * area, channels});
  const Tensor first = reshape(iota(n), {n, 1}) * scalar(area, DType::int64);
  Tensor sum;
  for_corners(near, [&](const std::vector<size_t>& k) {
    Tensor index, weight;
    for (size_t i = 0; i < axes; ++i) {
      const Neighbour& here = near[i][k[i]];
      index = index ? index * scalar(x.shape()[2 + i], DType::int64) + here.index : here.index;
      if (here.weight) weight = weight ? weight * here.weight : here.weight;
    }
    const Tensor flat = reshape(index + first, {n * count});
    Tensor value = gather_checked(pixels, flat, 0);
    if (weight) value = value * reshape(weight, {n * count, 1});
    sum = sum ? sum + value : value;
  });
  places.push_back(channels);
  Dims order{0, int64_t(axes) + 1};
  for (size_t i = 0; i < axes; ++i) order.push_back(int64_t(i) + 1);
  return astype(permute_dims(reshape(sum, places), order), given.dtype());
}

// The centres of `count` elements between -1 and 1, or with corners from one to the other.
Tensor along(int64_t count, bool align_corners, DType dtype) {
  const Tensor i = astype(iota(count), dtype);
  if (!align_corners)
    return (i * constant(2) + constant(1 - double(count))) / constant(double(count));
  if (count == 1) return i;
  return i * constant(2 / double(count - 1)) - constant(1);
}

Tensor affine_grid(const Tensor& theta, const Dims& size, bool align_corners) {
  require(size.size() == 4 || size.size() == 5,
          "affine_grid: size must be (N, C, H, W) or (N, C, D, "
          "H, W), got ",
          size);
  const int64_t axes = int64_t(size.size()) - 2;
  if (!is_floating(theta.dtype()))
    fail(ErrorKind::type, "affine_grid: theta must be floating-point, got ", theta.dtype());
  require(theta.shape() == (Shape{size[0], axes, axes + 1}), "affine_grid: theta of shape ",
          theta.shape(), " must be ", Shape{size[0], axes, axes + 1}, " for size ", size);
  for (const int64_t s : size) require(s > 0, "affine_grid: size must be positive, got ", size);
  const Dims spatial(size.begin() + 2, size.end());
  checked_numel(spatial, "affine_grid");
  const Tensor wide = widened(theta);
  Tensors coordinates;  // x first
  for (int64_t i = axes; i-- > 0;) {
    Shape shape(size_t(axes), 1);
    shape[size_t(i)] = spatial[size_t(i)];
    const Tensor line = along(spatial[size_t(i)], align_corners, wide.dtype());
    coordinates.push_back(broadcast_to(reshape(line, shape), spatial));
  }
  coordinates.push_back(ones(spatial, wide.dtype()));
  const Tensor base = reshape(stack(coordinates, -1), {1, numel(spatial), axes + 1});
  Shape shape{size[0]};
  shape.append(spatial.begin(), spatial.end());
  shape.push_back(axes);
  return astype(reshape(matmul(base, matrix_transpose(wide)), shape), theta.dtype());
}

// clang-format off
const Family kGridSampling("Sampling of images", {
    {.name = "grid_sample",
     .parameters = "x: Tensor, grid: Tensor, mode: str = 'bilinear', padding_mode: str = 'zeros', "
                   "align_corners: bool = False",
     .doc = "x (N, C, H, W) or (N, C, D, H, W) at the places grid (N, ..., 2 or 3) in it, as (N, C, "
            "...), with the conventions of PyTorch: a place is (x, y) or (x, y, z), from -1 to 1 "
            "over the image, whose outer edges (with align_corners its first and last elements) "
            "those are. mode: 'bilinear', 'nearest', and 'bicubic' for images. padding_mode says "
            "what is outside: 'zeros', the 'border', or the 'reflection'. Jaderberg et al. 2015, "
            "arXiv:1506.02025.",
     .call = [](const Args& a) { return Tensors{grid_sample(a)}; },
     .samples = "f(2, 3, 4, 5), f(2, 3, 2, 2) * 0.7;;f(1, 2, 4, 5), f(1, 6, 2, 2), 'nearest';;"
                "f(1, 2, 4, 5), f(1, 6, 2, 2), 'bicubic';;"
                "f(1, 2, 4, 5), f(1, 6, 2, 2), 'bilinear', 'border', True;;"
                "f(1, 2, 4, 5), f(1, 6, 2, 2), 'bilinear', 'reflection';;"
                "f(1, 2, 4, 5), f(1, 6, 2, 2), 'bicubic', 'reflection', True;;"
                "f(1, 2, 4, 5), f(1, 6, 2, 2), 'bicubic', 'border';;"
                "f(1, 2, 4, 5), f(1, 6, 2, 2), 'nearest', 'reflection', True;;"
                "f(2, 2, 3, 4, 5), f(2, 2, 3, 2, 3) * 0.7;;"
                "f(1, 2, 1, 1), f(1, 3, 2, 2), 'bilinear', 'reflection', True;;"
                "f(0, 2, 3, 3), f(0, 2, 2, 2)",
     .reference = "reference.grid_sample",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "affine_grid",
     .parameters = "theta: Tensor, size: ints, align_corners: bool = False",
     .doc = "The grids (N, H, W, 2) or (N, D, H, W, 3), for grid_sample, of affine maps theta (N, 2, "
            "3) or (N, 3, 4): every place of an image of size (N, C, H, W) or (N, C, D, H, W), "
            "mapped.",
     .call =
         [](const Args& a) {
           return Tensors{affine_grid(a.tensor(0), a.ints(1), a.boolean(2))};
         },
     .samples = "f(2, 2, 3), (2, 3, 4, 5);;f(1, 2, 3), (1, 1, 1, 3), True;;f(1, 3, 4), (1, 2, 2, 3, 4)",
     .reference = "reference.affine_grid",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
