// The matrix of a convolution's input windows, built piece by piece: source images are copied with
// their padding, converted, into planes; rows of the matrix are then runs of those planes.
#pragma once

#include "backend/cpu/contraction/gemm.h"
#include "base/shape.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

// A convolution as a grid of results: result (r, s) reads the source at (r * step[0] + y,
// s * step[1] + x) for every tap y in rows, x in columns; outside the image it reads zero.
struct Windows {
  int64_t size[2];  // of the source image
  int64_t grid[2];
  int64_t step[2];
  Dims rows, columns;  // taps, which may be negative

  int64_t taps() const { return int64_t(rows.size() * columns.size()); }
  int64_t results() const { return grid[0] * grid[1]; }
};

// Some images, and the rows of their grids from `row` to `row_end`.
struct Piece {
  int64_t image, image_end, row, row_end;

  int64_t images() const { return image_end - image; }
  int64_t rows() const { return row_end - row; }
  int64_t columns(const Windows& w) const { return images() * rows() * w.grid[1]; }
};

// Cuts a batch into pieces of about `columns` results: several images, or a band of one.
class Pieces {
 public:
  Pieces(const Windows& windows, int64_t images, int64_t columns);
  int64_t count() const { return groups_ * bands_; }
  Piece operator[](int64_t index) const;
  int64_t most_columns() const;

 private:
  int64_t images_, grid_rows_, grid_columns_, groups_, bands_;
};

// The planes of a piece. Each source row is stored as step[1] runs, one for each remainder of the
// column, so that neighbouring results read neighbouring elements.
struct Planes {
  int64_t first[2];   // source coordinates of the first element
  int64_t height;     // rows of a plane
  int64_t run;        // length of a run
  int64_t row;        // elements of a row
  int64_t size(int64_t images, int64_t channels) const { return images * channels * height * row; }
};
Planes planes_of(const Windows& windows, const Piece& piece);

// Elements that may be touched past the planes, and past each row of the matrix.
constexpr int64_t kColumnSlack = 16;

inline int64_t padded_width(const Windows& windows) {
  return ceil_div(windows.grid[1], kColumnSlack) * kColumnSlack;
}

// The kernels of the instruction set in use, for T float or double. Row c * taps + tap of the
// matrix holds channel c of the planes under that tap, for every result of the piece in order.
template <class T>
struct ColumnKernels {
  // Copies channels [channel, channel + channels) of the piece's images; `image` has rank 4.
  void (*fill_planes)(const Windows& windows, const Planes& planes, const View& image,
                      const Piece& piece, int64_t channel, int64_t channels, T* out);
  // Writes rows [first, first + count) of the matrix, `stride` apart.
  void (*fill_columns)(const Windows& windows, const Planes& planes, const Piece& piece,
                       int64_t channels, const T* source, int64_t first, int64_t count, T* out,
                       int64_t stride);
  // For weights of few rows, which would not pay for the matrix: adds to row m of `out`, or sets
  // it to, the sum over the same rows k of weights[m * weight_stride + k - first] times the
  // matrix. Rows of `out` are `stride` apart; inside them grid rows are padded_width() apart.
  void (*multiply_windows)(const Windows& windows, const Planes& planes, const Piece& piece,
                           int64_t channels, const T* source, int64_t first, int64_t count,
                           const T* weights, int64_t weight_stride, int64_t rows, bool accumulate,
                           T* out, int64_t stride);
};
template <class T>
const ColumnKernels<T>& column_kernels();

}  // namespace tegula::cpu
