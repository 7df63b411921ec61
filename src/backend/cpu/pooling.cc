// Maximum and average pooling over the last two axes of (N, C, H, W), and their gradients. Each
// plane is computed by one thread; overlapping windows add to a gradient in row-major order.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/pooling.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "backend/cpu/isa.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "graph/attrs.h"
#include "runtime/thread_pool.h"

#ifndef TEGULA_POOLING_CC_ONCE_
#define TEGULA_POOLING_CC_ONCE_
namespace tegula::cpu {

// Dense planes; `image` is the larger side (x or dx), `pooled` the smaller (y or dy).
struct Pooling {
  DType dtype;
  PoolAttrs attrs;
  int64_t image[2], pooled[2];  // heights and widths

  int64_t image_size() const { return image[0] * image[1]; }
  int64_t pooled_size() const { return pooled[0] * pooled[1]; }
  // The part of window `i` inside the image.
  int64_t begin(int axis, int64_t i) const {
    return std::max<int64_t>(0, i * attrs.stride[axis] - attrs.padding[axis]);
  }
  int64_t end(int axis, int64_t i) const {
    return std::min(image[axis], i * attrs.stride[axis] - attrs.padding[axis] + attrs.kernel[axis]);
  }
  // Windows of 2 x 2 side by side, without padding.
  bool halves() const {
    return attrs.kernel[0] == 2 && attrs.kernel[1] == 2 && attrs.stride[0] == 2 &&
           attrs.stride[1] == 2 && attrs.padding[0] == 0 && attrs.padding[1] == 0;
  }
};

}  // namespace tegula::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

// Whether `value` replaces the maximum found before it: the first of equals stays, and so does the
// first NaN.
template <class T>
bool beats(T value, T best) {
  if constexpr (std::is_floating_point_v<T>) {
    return (value > best) | ((value != value) & (best == best));
  } else {
    return value > best;
  }
}

template <class T>
constexpr T lowest() {
  if constexpr (std::is_floating_point_v<T>) {
    return -std::numeric_limits<T>::infinity();
  } else {
    return std::numeric_limits<T>::lowest();
  }
}

#if HWY_TARGET != HWY_SCALAR
namespace hn = hwy::HWY_NAMESPACE;

// `value` where it beats `best`: see beats().
template <class V>
auto beats_mask(V value, V best) {
  return hn::Not(hn::Or(hn::Le(value, best), hn::IsNaN(best)));
}

// Calls body(d, s) so that vectors of tag d at every s cover [0, windows), the last overlapping
// the one before; returns false if there are fewer windows than the shortest vector has lanes.
template <class D, class F>
bool for_vectors(D d, int64_t windows, F&& body) {
  const int64_t lanes = int64_t(hn::Lanes(d));
  if (windows >= lanes) {
    for (int64_t s = 0; s + lanes < windows; s += lanes) body(d, s);
    body(d, windows - lanes);
    return true;
  }
  if constexpr (hn::MaxLanes(D()) * sizeof(hn::TFromD<D>) > 16)
    return for_vectors(hn::Half<D>(), windows, body);
  return false;
}

template <class T>
bool max_halves_vectors(const T* top, const T* bottom, int64_t windows, T* y) {
  return for_vectors(hn::ScalableTag<T>(), windows, [&](auto d, int64_t s) HWY_ATTR {
    hn::Vec<decltype(d)> a, b, c, e;
    hn::LoadInterleaved2(d, top + 2 * s, a, b);
    hn::LoadInterleaved2(d, bottom + 2 * s, c, e);
    a = hn::IfThenElse(beats_mask(b, a), b, a);
    a = hn::IfThenElse(beats_mask(c, a), c, a);
    hn::StoreU(hn::IfThenElse(beats_mask(e, a), e, a), d, y + s);
  });
}

template <class T>
bool max_grad_halves_vectors(const T* top, const T* bottom, const T* dy, int64_t windows, T* out,
                             T* below) {
  return for_vectors(hn::ScalableTag<T>(), windows, [&](auto d, int64_t s) HWY_ATTR {
    hn::Vec<decltype(d)> a, b, c, e;
    hn::LoadInterleaved2(d, top + 2 * s, a, b);
    hn::LoadInterleaved2(d, bottom + 2 * s, c, e);
    const auto second = beats_mask(b, a);
    a = hn::IfThenElse(second, b, a);
    const auto third = beats_mask(c, a);
    a = hn::IfThenElse(third, c, a);
    const auto fourth = beats_mask(e, a), lower = hn::Or(third, fourth);
    const auto up = hn::LoadU(d, dy + s);
    hn::StoreInterleaved2(hn::IfThenZeroElse(hn::Or(second, lower), up),
                          hn::IfThenElseZero(hn::AndNot(lower, second), up), d, out + 2 * s);
    hn::StoreInterleaved2(hn::IfThenElseZero(hn::AndNot(fourth, third), up),
                          hn::IfThenElseZero(fourth, up), d, below + 2 * s);
  });
}
#endif

template <class T>
void max_halves(const Pooling& p, const T* HWY_RESTRICT x, T* HWY_RESTRICT y) {
  for (int64_t r = 0; r < p.pooled[0]; ++r, y += p.pooled[1]) {
    const T* HWY_RESTRICT top = x + 2 * r * p.image[1];
    const T* HWY_RESTRICT bottom = top + p.image[1];
#if HWY_TARGET != HWY_SCALAR
    if constexpr (std::is_floating_point_v<T>)
      if (max_halves_vectors(top, bottom, p.pooled[1], y)) continue;
#endif
    for (int64_t s = 0; s < p.pooled[1]; ++s) {
      T best = top[2 * s];
      best = beats(top[2 * s + 1], best) ? top[2 * s + 1] : best;
      best = beats(bottom[2 * s], best) ? bottom[2 * s] : best;
      best = beats(bottom[2 * s + 1], best) ? bottom[2 * s + 1] : best;
      y[s] = best;
    }
  }
}

template <class T>
void max_plane(const Pooling& p, const T* x, T* y) {
  using C = compute_t<T>;
  if constexpr (std::is_same_v<C, T>)
    if (p.halves()) return max_halves(p, x, y);
  for (int64_t r = 0; r < p.pooled[0]; ++r)
    for (int64_t s = 0; s < p.pooled[1]; ++s) {
      const int64_t first = p.begin(1, s), last = p.end(1, s);
      C best = lowest<C>();
      for (int64_t i = p.begin(0, r); i < p.end(0, r); ++i)
        for (int64_t j = first; j < last; ++j) {
          const C value = C(x[i * p.image[1] + j]);
          best = beats(value, best) ? value : best;
        }
      *y++ = T(best);
    }
}

// Whether windows of 2 x 2 leave a last row or column uncovered.
inline bool has_remainder(const Pooling& p) {
  return p.image[0] != 2 * p.pooled[0] || p.image[1] != 2 * p.pooled[1];
}

template <class T>
void max_grad_halves(const Pooling& p, const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy,
                     T* HWY_RESTRICT dx) {
  const int64_t width = p.image[1];
  if (has_remainder(p)) std::fill_n(dx, p.image_size(), T(0));
  for (int64_t r = 0; r < p.pooled[0]; ++r, dy += p.pooled[1]) {
    const T* HWY_RESTRICT top = x + 2 * r * width;
    const T* HWY_RESTRICT bottom = top + width;
    T* HWY_RESTRICT out = dx + 2 * r * width;
    T* HWY_RESTRICT below = out + width;
#if HWY_TARGET != HWY_SCALAR
    if (max_grad_halves_vectors(top, bottom, dy, p.pooled[1], out, below)) continue;
#endif
    for (int64_t s = 0; s < p.pooled[1]; ++s) {
      out[2 * s] = out[2 * s + 1] = below[2 * s] = below[2 * s + 1] = T(0);
      T best = top[2 * s];
      T* at = out + 2 * s;
      const auto consider = [&](T value, T* place) {
        if (!beats(value, best)) return;
        best = value;
        at = place;
      };
      consider(top[2 * s + 1], out + 2 * s + 1);
      consider(bottom[2 * s], below + 2 * s);
      consider(bottom[2 * s + 1], below + 2 * s + 1);
      *at = dy[s];
    }
  }
}

// `sums` is a plane of scratch.
template <class T>
void max_grad_plane(const Pooling& p, const T* x, const T* dy, compute_t<T>* sums, T* dx) {
  using C = compute_t<T>;
  if constexpr (std::is_same_v<C, T>)
    if (p.halves()) return max_grad_halves(p, x, dy, dx);
  std::fill_n(sums, p.image_size(), C(0));
  for (int64_t r = 0; r < p.pooled[0]; ++r)
    for (int64_t s = 0; s < p.pooled[1]; ++s) {
      const C up = C(*dy++);
      const int64_t top = p.begin(0, r), left = p.begin(1, s);
      if (top >= p.end(0, r) || left >= p.end(1, s)) continue;
      int64_t at = top * p.image[1] + left;
      for (int64_t i = top; i < p.end(0, r); ++i)
        for (int64_t j = left; j < p.end(1, s); ++j)
          if (beats(C(x[i * p.image[1] + j]), C(x[at]))) at = i * p.image[1] + j;
      sums[at] = C(sums[at] + up);
    }
  for (int64_t i = 0; i < p.image_size(); ++i) dx[i] = T(sums[i]);
}

template <class C>
C divisor(const Pooling& p, int64_t r, int64_t s) {
  if (p.attrs.count_padding) return C(p.attrs.kernel[0] * p.attrs.kernel[1]);
  return C((p.end(0, r) - p.begin(0, r)) * (p.end(1, s) - p.begin(1, s)));
}

template <class T>
void average_plane(const Pooling& p, const T* HWY_RESTRICT x, T* HWY_RESTRICT y) {
  using C = compute_t<T>;
  if (p.halves()) {
    for (int64_t r = 0; r < p.pooled[0]; ++r, y += p.pooled[1]) {
      const T* HWY_RESTRICT top = x + 2 * r * p.image[1];
      const T* HWY_RESTRICT bottom = top + p.image[1];
      for (int64_t s = 0; s < p.pooled[1]; ++s)
        y[s] =
            T((C(top[2 * s]) + C(top[2 * s + 1]) + C(bottom[2 * s]) + C(bottom[2 * s + 1])) / C(4));
    }
    return;
  }
  for (int64_t r = 0; r < p.pooled[0]; ++r)
    for (int64_t s = 0; s < p.pooled[1]; ++s) {
      C sum = C(0);
      bool first = true;
      for (int64_t i = p.begin(0, r); i < p.end(0, r); ++i)
        for (int64_t j = p.begin(1, s); j < p.end(1, s); ++j) {
          const C value = C(x[i * p.image[1] + j]);
          sum = first ? value : sum + value;
          first = false;
        }
      *y++ = T(sum / divisor<C>(p, r, s));
    }
}

template <class T>
void average_grad_plane(const Pooling& p, const T* HWY_RESTRICT dy, compute_t<T>* sums,
                        T* HWY_RESTRICT dx) {
  using C = compute_t<T>;
  if (p.halves()) {
    if (has_remainder(p)) std::fill_n(dx, p.image_size(), T(C(0)));
    for (int64_t r = 0; r < p.pooled[0]; ++r, dy += p.pooled[1]) {
      T* HWY_RESTRICT top = dx + 2 * r * p.image[1];
      T* HWY_RESTRICT bottom = top + p.image[1];
      for (int64_t s = 0; s < p.pooled[1]; ++s)
        top[2 * s] = top[2 * s + 1] = bottom[2 * s] = bottom[2 * s + 1] = T(C(dy[s]) / C(4));
    }
    return;
  }
  std::fill_n(sums, p.image_size(), C(0));
  for (int64_t r = 0; r < p.pooled[0]; ++r)
    for (int64_t s = 0; s < p.pooled[1]; ++s) {
      const C share = C(*dy++) / divisor<C>(p, r, s);
      for (int64_t i = p.begin(0, r); i < p.end(0, r); ++i)
        for (int64_t j = p.begin(1, s); j < p.end(1, s); ++j) sums[i * p.image[1] + j] += share;
    }
  for (int64_t i = 0; i < p.image_size(); ++i) dx[i] = T(sums[i]);
}

// Planes [begin, end) of each kernel.
void max_pool(const Pooling& p, int64_t begin, int64_t end, const std::byte* x, std::byte* y) {
  dispatch(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = begin; i < end; ++i)
      max_plane(p, reinterpret_cast<const T*>(x) + i * p.image_size(),
                reinterpret_cast<T*>(y) + i * p.pooled_size());
  });
}

void max_pool_grad(const Pooling& p, int64_t begin, int64_t end, const std::byte* x,
                   const std::byte* dy, std::byte* dx) {
  dispatch_floating(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<compute_t<T>> sums(p.halves() && sizeof(T) > 2 ? 0 : p.image_size());
    for (int64_t i = begin; i < end; ++i)
      max_grad_plane(p, reinterpret_cast<const T*>(x) + i * p.image_size(),
                     reinterpret_cast<const T*>(dy) + i * p.pooled_size(), sums.data(),
                     reinterpret_cast<T*>(dx) + i * p.image_size());
  });
}

void average_pool(const Pooling& p, int64_t begin, int64_t end, const std::byte* x, std::byte* y) {
  dispatch_floating(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = begin; i < end; ++i)
      average_plane(p, reinterpret_cast<const T*>(x) + i * p.image_size(),
                    reinterpret_cast<T*>(y) + i * p.pooled_size());
  });
}

void average_pool_grad(const Pooling& p, int64_t begin, int64_t end, const std::byte* dy,
                       std::byte* dx) {
  dispatch_floating(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<compute_t<T>> sums(p.halves() ? 0 : p.image_size());
    for (int64_t i = begin; i < end; ++i)
      average_grad_plane(p, reinterpret_cast<const T*>(dy) + i * p.pooled_size(), sums.data(),
                         reinterpret_cast<T*>(dx) + i * p.image_size());
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(max_pool);
HWY_EXPORT(max_pool_grad);
HWY_EXPORT(average_pool);
HWY_EXPORT(average_pool_grad);

Pooling pooling_of(const KernelArgs& args, const View& image, const View& pooled) {
  Pooling p;
  p.dtype = image.dtype;
  p.attrs = read_attrs<PoolAttrs>(args.attrs);
  for (int axis = 0; axis < 2; ++axis) {
    p.image[axis] = image.shape[2 + axis];
    p.pooled[axis] = pooled.shape[2 + axis];
  }
  return p;
}

void require_floating(const View& view, const char* op) {
  if (!is_floating(view.dtype))
    fail(ErrorKind::type, op, ": dtype ", view.dtype, " is not a floating dtype");
}

// Calls body(begin, end) for runs of planes worth claiming.
template <class F>
void for_planes(const View& image, const Pooling& p, F&& body) {
  static const int64_t elements = tile_size(16'384);
  const int64_t planes = image.shape[0] * image.shape[1];
  const int64_t run = std::max<int64_t>(1, elements / std::max<int64_t>(1, p.image_size()));
  const int64_t runs = (planes + run - 1) / run;
  const auto piece = [&](int64_t i) { body(i * run, std::min(planes, (i + 1) * run)); };
  if (planes * p.image_size() < 32'768) {
    for (int64_t i = 0; i < runs; ++i) piece(i);
  } else {
    parallel_for(runs, piece);
  }
}

void run_max_pool2d(const KernelArgs& args) {
  const View& x = args.inputs[0];
  const View& y = args.outputs[0];
  if (numel(y.shape) == 0) return;
  const Pooling p = pooling_of(args, x, y);
  const DenseInput dense(x);
  const auto run = HWY_DYNAMIC_DISPATCH(max_pool);
  for_planes(x, p, [&](int64_t begin, int64_t end) { run(p, begin, end, dense.data(), y.data); });
}

void run_max_pool2d_grad(const KernelArgs& args) {
  const View& dx = args.outputs[0];
  if (numel(dx.shape) == 0) return;
  require_floating(dx, "max_pool2d_grad");
  const Pooling p = pooling_of(args, dx, args.inputs[1]);
  const DenseInput x(args.inputs[0]), dy(args.inputs[1]);
  const auto run = HWY_DYNAMIC_DISPATCH(max_pool_grad);
  for_planes(dx, p,
             [&](int64_t begin, int64_t end) { run(p, begin, end, x.data(), dy.data(), dx.data); });
}

void run_avg_pool2d(const KernelArgs& args) {
  const View& x = args.inputs[0];
  const View& y = args.outputs[0];
  if (numel(y.shape) == 0) return;
  require_floating(y, "avg_pool2d");
  const Pooling p = pooling_of(args, x, y);
  const DenseInput dense(x);
  const auto run = HWY_DYNAMIC_DISPATCH(average_pool);
  for_planes(x, p, [&](int64_t begin, int64_t end) { run(p, begin, end, dense.data(), y.data); });
}

void run_avg_pool2d_grad(const KernelArgs& args) {
  const View& dx = args.outputs[0];
  if (numel(dx.shape) == 0) return;
  require_floating(dx, "avg_pool2d_grad");
  const Pooling p = pooling_of(args, dx, args.inputs[0]);
  const DenseInput dy(args.inputs[0]);
  const auto run = HWY_DYNAMIC_DISPATCH(average_pool_grad);
  for_planes(dx, p, [&](int64_t begin, int64_t end) { run(p, begin, end, dy.data(), dx.data); });
}

constexpr KernelEntry kEntries[] = {
    {"max_pool2d", {run_max_pool2d}},
    {"max_pool2d_grad", {run_max_pool2d_grad}},
    {"avg_pool2d", {run_avg_pool2d}},
    {"avg_pool2d_grad", {run_avg_pool2d_grad}},
};

}  // namespace

std::span<const KernelEntry> pooling_kernels() { return kEntries; }

}  // namespace tegula::cpu
#endif
