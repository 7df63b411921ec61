// conv2d and its input gradient: both are a matrix of weights times the matrix of the windows of
// an image, which columns.h builds in pieces that stay in the cache.
#include "backend/cpu/contraction/columns.h"
#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/isa.h"
#include "graph/attrs.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

// Result (r, s) of the grid is the output's element (r * step[0] + first[0], s * step[1] +
// first[1]).
struct Placement {
  int64_t first[2], step[2];
};

// out(n, g * rows + m, placed result) = sum over k of weights(g, m, k) windows(g, k, result).
template <class T>
class WindowProduct {
 public:
  // `weights` holds groups x rows x depth elements, dense.
  WindowProduct(const Windows& windows, const View& image, int64_t groups, const T* weights,
                const View& out, const Placement& placement)
      : windows_(windows),
        image_(image),
        out_(out),
        placement_(placement),
        kernels_(gemm_kernels<T>()),
        column_kernels_(column_kernels<T>()),
        weights_(weights),
        channels_(image.shape[1] / groups),
        rows_(out.shape[1] / groups),
        depth_(channels_ * windows.taps()),
        depth_block_(depth_block(depth_)),
        groups_(groups),
        thin_(rows_ <= kThinRows && !pointwise()),
        pieces_(windows, image.shape[0], most_columns(thin_)),
        packed_(ScratchUse::shared, size_t(groups * rows_ * depth_)) {
    // Few pieces: cut the rows of the weights too.
    constexpr int64_t kTasks = 8, kRows = 32;
    parts_ =
        std::max<int64_t>(1, std::min(ceil_div(kTasks, groups * pieces_.count()), rows_ / kRows));
    if (thin_) return;
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t k = 0; k < depth_; k += depth_block_)
        for (int64_t part = 0; part < parts_; ++part) {
          const int64_t row = tile_start(rows_, parts_, part);
          const T* block = weights + (g * rows_ + row) * depth_ + k;
          const int64_t length = std::min(depth_block_, depth_ - k);
          pack_rows(kernels_, {reinterpret_cast<const std::byte*>(block), kNative<T>, depth_, 1},
                    tile_start(rows_, parts_, part + 1) - row, length, packed(g, k) + row * length);
        }
  }

  void run() {
    const double work =
        double(groups_ * rows_) * double(depth_) * double(image_.shape[0] * windows_.results());
    const auto task = [&](int64_t index) {
      multiply(index / parts_ / pieces_.count(), pieces_[index / parts_ % pieces_.count()],
               index % parts_);
    };
    const int64_t tasks = groups_ * pieces_.count() * parts_;
    if (work < 500'000) {
      for (int64_t i = 0; i < tasks; ++i) task(i);
    } else {
      parallel_for(tasks, task);
    }
  }

 private:
  // Weights of so few rows are multiplied with the planes themselves; the sums are the same.
  static constexpr int64_t kThinRows = 4;

  static int64_t most_columns(bool thin) { return tile_size(thin ? 2048 : 256); }
  T* packed(int64_t group, int64_t k) const {
    return packed_.get() + group * rows_ * depth_ + k * rows_;
  }

  void multiply(int64_t group, const Piece& piece, int64_t part) const {
    const int64_t row = tile_start(rows_, parts_, part);
    const int64_t rows = tile_start(rows_, parts_, part + 1) - row;
    const int64_t columns = piece.columns(windows_), results = windows_.results();
    if (rows == 0 || columns == 0) return;
    const bool direct = !thin_ && out_.dtype == kNative<T> && piece.images() == 1 &&
                        placement_.step[0] == 1 && placement_.step[1] == 1;
    const int64_t channel = group * rows_ + row;
    const int64_t width = thin_ ? padded_width(windows_) : windows_.grid[1];
    const int64_t c_row = direct  ? results
                          : thin_ ? piece.images() * piece.rows() * width
                                  : ceil_div(columns, kernels_.panel) * kernels_.panel;
    const Scratch<T> tile(ScratchUse::tile, direct ? 0 : rows * c_row);
    T* const c = direct ? out_.as<T>() + (piece.image * out_.shape[1] + channel) * results +
                              piece.row * windows_.grid[1]
                        : tile.get();
    if (depth_ == 0)
      for (int64_t m = 0; m < rows; ++m) std::fill_n(c + m * c_row, direct ? columns : c_row, T(0));
    const int64_t depth = std::min(depth_block_, depth_), taps = windows_.taps();
    const bool in_place = pointwise() && piece.images() == 1;
    const Planes planes = depth_ > 0 ? planes_of(windows_, piece) : Planes{};
    const int64_t most_channels = in_place || depth_ == 0 ? 0 : (depth + taps - 2) / taps + 1;
    const int64_t stride =
        in_place || thin_ ? 0 : ceil_div(columns, kColumnSlack) * kColumnSlack + kColumnSlack;
    const Scratch<T> source(ScratchUse::planes,
                            planes.size(piece.images(), most_channels) + kColumnSlack);
    const Scratch<T> matrix(ScratchUse::columns, depth * stride + 2 * kernels_.panel);
    Block<T> block;
    block.m = rows;
    block.n = columns;
    block.a_packed = true;
    block.a_row = block.a_depth = 0;
    block.b_panel = kernels_.panel;
    block.b_padded = !in_place;
    block.b_depth = in_place ? image_.strides[1] : stride;
    block.c = c;
    block.c_row = c_row;
    for (int64_t k = 0; k < depth_; k += depth_block_) {
      block.k = std::min(depth_block_, depth_ - k);
      block.a = packed(group, k) + row * block.k;
      block.accumulate = k > 0;
      if (in_place) {
        block.b = image_.as<const T>() + piece.image * image_.strides[0] +
                  (group * channels_ + k) * image_.strides[1] + piece.row * image_.strides[2];
      } else {
        const int64_t first = k / taps, count = (k + block.k - 1) / taps - first + 1;
        column_kernels_.fill_planes(windows_, planes, image_, piece, group * channels_ + first,
                                    count, source.get());
        if (thin_) {
          column_kernels_.multiply_windows(windows_, planes, piece, count, source, k - first * taps,
                                           block.k, weights_ + (group * rows_ + row) * depth_ + k,
                                           depth_, rows, k > 0, c, c_row);
          continue;
        }
        column_kernels_.fill_columns(windows_, planes, piece, count, source, k - first * taps,
                                     block.k, matrix.get(), stride);
        block.b = matrix;
      }
      kernels_.multiply(block);
    }
    if (!direct) place(piece, channel, rows, c, c_row, width);
  }

  // 1x1 windows side by side: the image is the matrix.
  bool pointwise() const {
    return windows_.taps() == 1 && windows_.rows[0] == 0 && windows_.columns[0] == 0 &&
           windows_.step[0] == 1 && windows_.step[1] == 1 && image_.dtype == kNative<T> &&
           windows_.grid[0] == windows_.size[0] && windows_.grid[1] == windows_.size[1] &&
           image_.strides[3] == 1 && image_.strides[2] == windows_.size[1];
  }

  // Writes rows of results to their channels; grid rows are `pitch` apart in c.
  void place(const Piece& piece, int64_t channel, int64_t rows, const T* c, int64_t c_row,
             int64_t pitch) const {
    const int64_t width = windows_.grid[1], size = int64_t(itemsize(out_.dtype));
    const int64_t height_out = out_.shape[2], width_out = out_.shape[3];
    for (int64_t m = 0; m < rows; ++m) {
      const T* from = c + m * c_row;
      for (int64_t n = piece.image; n < piece.image_end; ++n) {
        const int64_t plane = (n * out_.shape[1] + channel + m) * height_out * width_out;
        if (pitch == width && placement_.step[0] == 1 && placement_.step[1] == 1) {
          const int64_t count = piece.rows() * width;
          kernels_.round(from, count, out_.dtype, out_.data + (plane + piece.row * width) * size);
          from += count;
          continue;
        }
        for (int64_t r = piece.row; r < piece.row_end; ++r, from += pitch) {
          const int64_t at = plane + (r * placement_.step[0] + placement_.first[0]) * width_out +
                             placement_.first[1];
          if (placement_.step[1] == 1) {
            kernels_.round(from, width, out_.dtype, out_.data + at * size);
            continue;
          }
          dispatch_floating(out_.dtype, [&](auto zero) {
            auto* to = out_.as<decltype(zero)>() + at;
            for (int64_t s = 0; s < width; ++s)
              to[s * placement_.step[1]] = decltype(zero)(from[s]);
          });
        }
      }
    }
  }

  template <class F>
  static void dispatch_floating(DType dtype, F&& f) {
    if constexpr (sizeof(T) == 8) {
      f(double{});
    } else if (dtype == DType::float16) {
      f(float16{});
    } else if (dtype == DType::bfloat16) {
      f(bfloat16{});
    } else {
      f(float{});
    }
  }

  const Windows& windows_;
  const View& image_;
  const View& out_;
  const Placement placement_;
  const GemmKernels<T>& kernels_;
  const ColumnKernels<T>& column_kernels_;
  const T* const weights_;
  const int64_t channels_, rows_, depth_, depth_block_, groups_;
  const bool thin_;
  const Pieces pieces_;
  const Scratch<T> packed_;
  int64_t parts_;
};

template <class F>
void with_compute_type(const View& out, const char* op, F&& f) {
  if (out.dtype == DType::float64) {
    f(double{});
  } else if (is_floating(out.dtype)) {
    f(float{});
  } else {
    fail(ErrorKind::type, op, ": dtype ", out.dtype, " is not a floating dtype");
  }
}

// weights(i0, i1, i2, i3) in any order of loops, converted.
template <class T>
T weight_at(const View& w, int64_t o, int64_t c, int64_t i, int64_t j) {
  const int64_t at = o * w.strides[0] + c * w.strides[1] + i * w.strides[2] + j * w.strides[3];
  if constexpr (sizeof(T) == 8) {
    return w.as<double>()[at];
  } else {
    switch (w.dtype) {
      case DType::float16:
        return w.as<float16>()[at];
      case DType::bfloat16:
        return w.as<bfloat16>()[at];
      default:
        return w.as<float>()[at];
    }
  }
}

template <class T>
void conv2d(const View& x, const View& w, const View& y, const ConvAttrs& attrs) {
  Windows windows;
  for (int axis = 0; axis < 2; ++axis) {
    windows.size[axis] = x.shape[2 + axis];
    windows.grid[axis] = y.shape[2 + axis];
    windows.step[axis] = attrs.stride[axis];
    Dims& taps = axis == 0 ? windows.rows : windows.columns;
    for (int64_t i = 0; i < w.shape[2 + axis]; ++i)
      taps.push_back(i * attrs.dilation[axis] - attrs.padding[axis]);
  }
  Scratch<T> dense(ScratchUse::left, numel(w.shape));
  T* to = dense.get();
  const T* weights = dense.get();
  if (w.dtype == kNative<T> && is_contiguous(w.shape, w.strides)) {
    weights = w.as<T>();
  } else {
    for (int64_t o = 0; o < w.shape[0]; ++o)
      for (int64_t c = 0; c < w.shape[1]; ++c)
        for (int64_t i = 0; i < w.shape[2]; ++i)
          for (int64_t j = 0; j < w.shape[3]; ++j) *to++ = weight_at<T>(w, o, c, i, j);
  }
  WindowProduct<T>(windows, x, attrs.groups, weights, y, {{0, 0}, {1, 1}}).run();
}

// dx(n, c, h, w) sums dy(n, o, (h + padding - i * dilation) / stride, ...) w(o, c, i, j) over the
// taps for which the division is exact: for the elements of dx with the same remainder by the
// stride these are the same taps, so each remainder is a convolution of dy of its own.
template <class T>
void input_grad(const View& dy, const View& w, const View& dx, const ConvAttrs& attrs) {
  const int64_t groups = attrs.groups, outputs = w.shape[0] / groups, channels = w.shape[1];
  for (int64_t a = 0; a < attrs.stride[0]; ++a)
    for (int64_t b = 0; b < attrs.stride[1]; ++b) {
      const int64_t remainder[2] = {a, b};
      Windows windows;
      Dims used[2];
      for (int axis = 0; axis < 2; ++axis) {
        const int64_t stride = attrs.stride[axis], size = dx.shape[2 + axis];
        windows.size[axis] = dy.shape[2 + axis];
        windows.grid[axis] = size > remainder[axis] ? ceil_div(size - remainder[axis], stride) : 0;
        windows.step[axis] = 1;
        Dims& taps = axis == 0 ? windows.rows : windows.columns;
        for (int64_t i = 0; i < w.shape[2 + axis]; ++i) {
          const int64_t at = remainder[axis] + attrs.padding[axis] - i * attrs.dilation[axis];
          if (at % stride != 0) continue;
          taps.push_back(at / stride);
          used[axis].push_back(i);
        }
      }
      if (windows.results() == 0) continue;
      Scratch<T> weights(ScratchUse::left, groups * channels * outputs * windows.taps());
      T* to = weights.get();
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t c = 0; c < channels; ++c)
          for (int64_t o = g * outputs; o < (g + 1) * outputs; ++o)
            for (int64_t i : used[0])
              for (int64_t j : used[1]) *to++ = weight_at<T>(w, o, c, i, j);
      WindowProduct<T>(windows, dy, groups, weights.get(), dx,
                       {{a, b}, {attrs.stride[0], attrs.stride[1]}})
          .run();
    }
}

}  // namespace

void run_conv2d(const KernelArgs& args) {
  const View& y = args.outputs[0];
  if (numel(y.shape) == 0) return;
  with_compute_type(y, "conv2d", [&](auto zero) {
    conv2d<decltype(zero)>(args.inputs[0], args.inputs[1], y, read_attrs<ConvAttrs>(args.attrs));
  });
}

void run_conv2d_input_grad(const KernelArgs& args) {
  const View& dx = args.outputs[0];
  if (numel(dx.shape) == 0) return;
  with_compute_type(dx, "conv2d_input_grad", [&](auto zero) {
    input_grad<decltype(zero)>(args.inputs[0], args.inputs[1], dx,
                               read_attrs<ConvAttrs>(args.attrs));
  });
}

}  // namespace tegula::cpu
