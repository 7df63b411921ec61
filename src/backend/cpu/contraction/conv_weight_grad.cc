// conv2d_weight_grad: the windows of x, as rows, times dy with its channels as columns, summed
// over the batch. The batch is cut into pieces and the pieces into a number of chains fixed by the
// shape; each chain sums its pieces in order, and the chains are added in order at the end.
#include "backend/cpu/contraction/columns.h"
#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/strided_copy.h"
#include "graph/attrs.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

template <class T>
class WeightGrad {
 public:
  WeightGrad(const View& x, const View& dy, const View& dw, const ConvAttrs& attrs)
      : x_(x),
        dy_(dy),
        dw_(dw),
        groups_(attrs.groups),
        channels_(dw.shape[1]),
        outputs_(dw.shape[0] / attrs.groups),
        kernels_(gemm_kernels<T>()),
        column_kernels_(column_kernels<T>()),
        windows_(windows_of(x, dy, dw, attrs)),
        pieces_(windows_, x.shape[0], kColumns) {
    // Each task takes some channels of a group, and one chain.
    blocks_ = ceil_div(channels_, std::max<int64_t>(1, kRows / windows_.taps()));
    chains_ = std::clamp<int64_t>(ceil_div(kTasks, groups_ * blocks_), 1, pieces_.count());
  }

  void run() {
    const size_t size = size_t(numel(dw_.shape));
    const Scratch<T> partials(ScratchUse::partials, size * chains_);
    const auto task = [&](int64_t index) {
      const int64_t chain = index / (groups_ * blocks_), group = index / blocks_ % groups_;
      sum_chain(group, index % blocks_, chain, partials.get() + chain * size);
    };
    const int64_t tasks = groups_ * blocks_ * chains_;
    if (double(size) * double(x_.shape[0] * windows_.results()) < 500'000) {
      for (int64_t i = 0; i < tasks; ++i) task(i);
    } else {
      parallel_for(tasks, task);
    }
    T* const total = partials;
    for (int64_t chain = 1; chain < chains_; ++chain)
      for (size_t i = 0; i < size; ++i) total[i] += partials.get()[chain * size + i];
    write(total);
  }

 private:
  static constexpr int64_t kColumns = 256, kRows = 256, kTasks = 16;

  static Windows windows_of(const View& x, const View& dy, const View& dw, const ConvAttrs& attrs) {
    Windows windows;
    for (int axis = 0; axis < 2; ++axis) {
      windows.size[axis] = x.shape[2 + axis];
      windows.grid[axis] = dy.shape[2 + axis];
      windows.step[axis] = attrs.stride[axis];
      Dims& taps = axis == 0 ? windows.rows : windows.columns;
      for (int64_t i = 0; i < dw.shape[2 + axis]; ++i)
        taps.push_back(i * attrs.dilation[axis] - attrs.padding[axis]);
    }
    return windows;
  }

  // Adds the pieces of a chain for one block of channels into the rows (group, channel, tap) and
  // columns (output) of `sums`.
  void sum_chain(int64_t group, int64_t channel_block, int64_t chain, T* sums) const {
    const int64_t taps = windows_.taps();
    const int64_t channel = tile_start(channels_, blocks_, channel_block);
    const int64_t channels = tile_start(channels_, blocks_, channel_block + 1) - channel;
    const int64_t begin = tile_start(pieces_.count(), chains_, chain);
    const int64_t end = tile_start(pieces_.count(), chains_, chain + 1);
    Block<T> block;
    block.m = channels * taps;
    block.n = outputs_;
    block.c = sums + (group * channels_ + channel) * taps * outputs_;
    block.c_row = outputs_;
    for (int64_t p = begin; p < end; ++p) {
      const Piece piece = pieces_[p];
      const int64_t columns = piece.columns(windows_);
      const Planes planes = planes_of(windows_, piece);
      const Scratch<T> source(ScratchUse::planes,
                              planes.size(piece.images(), channels) + kColumnSlack);
      column_kernels_.fill_planes(windows_, planes, x_, piece, group * channels_ + channel,
                                  channels, source.get());
      const int64_t stride = ceil_div(columns, kColumnSlack) * kColumnSlack + kColumnSlack;
      const Scratch<T> matrix(ScratchUse::columns, block.m * stride + kColumnSlack);
      column_kernels_.fill_columns(windows_, planes, piece, channels, source.get(), 0, block.m,
                                   matrix.get(), stride);
      if (outputs_ == 1) {
        add_dots(group, piece,
                 {reinterpret_cast<const std::byte*>(matrix.get()), kNative<T>, stride, 1}, block.m,
                 p > begin, block.c);
        continue;
      }
      const Scratch<T> upstream(ScratchUse::right,
                                ceil_div(outputs_, kernels_.panel) * kernels_.panel * columns);
      pack_upstream(group, piece, kernels_.panel, upstream.get());
      block.k = columns;
      block.a = matrix;
      block.a_row = stride;
      block.a_depth = 1;
      block.a_packed = false;
      block.b = upstream;
      block.b_depth = kernels_.panel;
      block.b_panel = kernels_.panel * columns;
      block.b_padded = true;
      block.accumulate = p > begin;
      kernels_.multiply(block);
    }
  }

  // One channel of dy: the rows of the matrix times a vector.
  void add_dots(int64_t group, const Piece& piece, const Matrix& matrix, int64_t rows,
                bool accumulate, T* sums) const {
    constexpr int64_t kPadding = 64 / sizeof(T);
    const int64_t columns = piece.columns(windows_);
    const Scratch<T> upstream(ScratchUse::right, columns + kPadding);
    pack_upstream(group, piece, 1, upstream.get());
    std::fill_n(upstream.get() + columns, kPadding, T(0));
    const Scratch<T> dots(ScratchUse::tile, rows);
    kernels_.matvec(matrix, rows, columns, upstream, dots.get());
    for (int64_t i = 0; i < rows; ++i)
      sums[i] = accumulate ? sums[i] + dots.get()[i] : dots.get()[i];
  }

  // dy of the piece with its channels as columns, in panels.
  void pack_upstream(int64_t group, const Piece& piece, int64_t panel, T* packed) const {
    const int64_t columns = piece.columns(windows_);
    const int64_t length = piece.rows() * windows_.grid[1];
    for (int64_t o = 0; o < outputs_; o += panel)
      for (int64_t n = piece.image; n < piece.image_end; ++n) {
        const Matrix from{dy_.data, dy_.dtype, dy_.strides[1], dy_.strides[3]};
        const int64_t offset = n * dy_.strides[0] + piece.row * dy_.strides[2];
        const Matrix image{from.data + offset * int64_t(itemsize(from.dtype)), from.dtype, from.row,
                           from.column};
        kernels_.pack(image.at(group * outputs_ + o, 0), std::min(panel, outputs_ - o), panel,
                      length, packed + o * columns + (n - piece.image) * length * panel);
      }
  }

  // dw is the sums with rows and columns exchanged.
  void write(const T* sums) const {
    const int64_t rows = channels_ * windows_.taps();
    const Scratch<T> row(ScratchUse::tile, rows);
    for (int64_t g = 0; g < groups_; ++g)
      for (int64_t o = 0; o < outputs_; ++o) {
        for (int64_t k = 0; k < rows; ++k) row.get()[k] = sums[(g * rows + k) * outputs_ + o];
        kernels_.round(row.get(), rows, dw_.dtype,
                       dw_.data + (g * outputs_ + o) * rows * int64_t(itemsize(dw_.dtype)));
      }
  }

  const View& x_;
  const View& dy_;
  const View& dw_;
  const int64_t groups_, channels_, outputs_;
  const GemmKernels<T>& kernels_;
  const ColumnKernels<T>& column_kernels_;
  const Windows windows_;
  const Pieces pieces_;
  int64_t blocks_, chains_;
};

}  // namespace

void run_conv2d_weight_grad(const KernelArgs& args) {
  const View& dw = args.outputs[0];
  if (numel(dw.shape) == 0) return;
  if (numel(args.inputs[0].shape) == 0 || numel(args.inputs[1].shape) == 0) {
    std::fill_n(dw.data, numel(dw.shape) * int64_t(itemsize(dw.dtype)), std::byte{0});
    return;
  }
  // The rows of dy must follow one another.
  View dy = args.inputs[1];
  std::unique_ptr<DenseInput> dense;
  if (dy.strides[2] != dy.shape[3] * dy.strides[3]) {
    dense = std::make_unique<DenseInput>(dy);
    dy.data = const_cast<std::byte*>(dense->data());
    dy.strides = contiguous_strides(dy.shape);
  }
  const ConvAttrs attrs = read_attrs<ConvAttrs>(args.attrs);
  if (dw.dtype == DType::float64) {
    WeightGrad<double>(args.inputs[0], dy, dw, attrs).run();
  } else if (is_floating(dw.dtype)) {
    WeightGrad<float>(args.inputs[0], dy, dw, attrs).run();
  } else {
    fail(ErrorKind::type, "conv2d_weight_grad: dtype ", dw.dtype, " is not a floating dtype");
  }
}

}  // namespace tegula::cpu
