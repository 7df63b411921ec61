#include "backend/cpu/contraction/window_product.h"

#include "backend/cpu/isa.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kResults = 448, kTasks = 12;

// A single tap has the depth blocks of a product of matrices, which it may be run as.
int64_t channel_block(int64_t channels, int64_t taps) {
  if (taps == 1) return depth_block<float>(channels);
  constexpr int64_t kDepth = 640, kMultiple = 16;
  const int64_t blocks = std::max<int64_t>(1, ceil_div(channels * taps, kDepth));
  return ceil_div(ceil_div(std::max<int64_t>(1, channels), blocks), kMultiple) * kMultiple;
}

// Vectors of results pay where there are few channels on either side; chosen by shapes alone.
bool by_rows(const Windows& windows, int64_t channels, int64_t outputs) {
  constexpr int64_t kFewOutputs = 8, kFewTerms = 32;
  return windows.step[2] == 1 && windows.grid[2] > 4 &&
         (outputs <= kFewOutputs || channels * windows.tap_count() <= kFewTerms);
}

void write_offsets(const Box& box, const int64_t* strides, int64_t* to) {
  for_results(box, [&](int64_t n, int64_t z, int64_t y, int64_t x) {
    *to++ = n * strides[0] + z * strides[1] + y * strides[2] + x * strides[3];
  });
}

}  // namespace

int64_t row_length(const Image& image) {
  const bool pixels = image.channels > 1 && image.channel_stride == 1;
  return pixels ? image.channels : image.size[0] * image.size[1] * image.size[2];
}

void Placement::finish(const Image& out, const Box& box, int64_t channel, int64_t channels) const {
  if (!epilogue) return;
  const int64_t pixels = out.size[0] * out.size[1] * out.size[2];
  // The longest runs of pixels that follow one another.
  int64_t run = box.extent(3);
  int outer = 3;
  while (outer > 1 && box.extent(outer) == out.size[outer - 1]) run *= box.extent(--outer);
  Box walked = box;
  for (int i = outer; i <= kAxes; ++i) walked.end[i] = walked.begin[i] + 1;
  for_results(walked, [&](int64_t n, int64_t z, int64_t y, int64_t x) {
    const int64_t image = box.begin[0] + n;
    const int64_t pixel =
        ((box.begin[1] + z) * out.size[1] + box.begin[2] + y) * out.size[2] + box.begin[3] + x;
    if (out.channels > 1 && out.channel_stride == 1)
      epilogue->run(image * pixels + pixel, run, channel, channels);
    else epilogue->run(image * out.channels + channel, channels, pixel, run);
  });
}

std::shared_ptr<const std::byte> kept_filters(const FilterLayout& filters, const void* kernels,
                                              const Dims& shape, int64_t results, size_t bytes,
                                              FunctionRef<void(std::byte*)> prepare) {
  constexpr int64_t kManyResults = 2048;
  if (!filters.buffer || results > kManyResults || bytes == 0) return nullptr;
  FormKey key = {reinterpret_cast<int64_t>(kernels),
                 filters.data - filters.buffer->data(),
                 int64_t(filters.dtype),
                 filters.group_stride,
                 filters.lane_stride,
                 filters.channel_stride};
  key.append(filters.taps.begin(), filters.taps.end());
  key.append(shape.begin(), shape.end());
  return filters.buffer->forms().find_or_make(key, bytes, prepare);
}

template <class T>
WindowProduct<T>::WindowProduct(const Windows& windows, const Image& source, int64_t groups,
                                const FilterLayout& filters, const Image& out,
                                const Placement& placement)
    : windows_(windows),
      source_(source),
      out_(out),
      placement_(placement),
      filters_(filters),
      kernels_(conv_kernels<T>()),
      groups_(groups),
      channels_(source.channels / groups),
      outputs_(out.channels / groups),
      taps_(windows.tap_count()),
      block_(std::min(channels_, channel_block(channels_, taps_))),
      blocks_(channels_ * taps_ == 0 ? 0 : ceil_div(channels_, block_)),
      panels_(ceil_div(outputs_, kernels_.panel)),
      by_rows_(by_rows(windows, channels_, outputs_)),
      boxes_(out.images, windows, tile_size(kResults)),
      kept_(kept_filters(filters, &kernels_, {groups, channels_, outputs_, block_},
                         out.images * windows.results(), sizeof(T) * packed_elements(),
                         [&](std::byte* to) { pack_all(reinterpret_cast<T*>(to), 1e9); })),
      packed_(ScratchUse::shared, kept_ ? 0 : packed_elements()),
      filters_packed_(kept_ ? reinterpret_cast<const T*>(kept_.get()) : packed_.get()) {
  if (blocks_ > 0) drop_unread(windows_, source_);
  in_place_ = blocks_ > 0 && source_.dtype == kNative<T> && source_.channel_stride == 1 &&
              windows_.inside();
  direct_ = out.dtype == kNative<T> && out.channel_stride == 1;
  parts_ = std::clamp<int64_t>(ceil_div(kTasks, groups * boxes_.count()), 1, panels_);
}

template <class T>
void WindowProduct<T>::run() {
  const double work =
      double(groups_ * outputs_ * channels_ * taps_) * double(out_.images * windows_.results());
  const double microseconds = work / 3e4;
  if (!kept_) pack_all(packed_.get(), microseconds / 8);
  parallel_for(
      groups_ * boxes_.count() * parts_,
      [&](int64_t i) {
        const Box box = boxes_[i / parts_ % boxes_.count()];
        if (by_rows_) {
          multiply_rows(i / parts_ / boxes_.count(), box, i % parts_);
        } else {
          multiply(i / parts_ / boxes_.count(), box, i % parts_);
        }
      },
      microseconds);
}

template <class T>
void WindowProduct<T>::pack_all(T* to, double microseconds) const {
  parallel_for(
      groups_ * blocks_ * panels_,
      [&](int64_t i) {
        const int64_t group = i / (blocks_ * panels_), block = i / panels_ % blocks_;
        pack(group, block, i % panels_, to + packed(group, block, i % panels_));
      },
      microseconds);
}

template <class T>
void WindowProduct<T>::pack(int64_t group, int64_t block, int64_t panel, T* to) const {
  const int64_t offset = group * filters_.group_stride +
                         panel * kernels_.panel * filters_.lane_stride +
                         block * block_ * filters_.channel_stride;
  const Filters from{filters_.data + offset * int64_t(itemsize(filters_.dtype)),
                     filters_.dtype,
                     filters_.lane_stride,
                     filters_.channel_stride,
                     filters_.taps.data(),
                     taps_};
  kernels_.pack_filters(from, std::min(kernels_.panel, outputs_ - panel * kernels_.panel),
                        block_channels(block), to);
}

template <class T>
int64_t WindowProduct<T>::place_box(const Box& box, int64_t channel, int64_t* strides) const {
  strides[0] = out_.image_stride;
  int64_t corner = channel * out_.channel_stride + box.begin[0] * out_.image_stride;
  for (int i = 0; i < kAxes; ++i) {
    strides[1 + i] = out_.stride[i] * placement_.step[i];
    corner += placement_.first[i] * out_.stride[i] + box.begin[1 + i] * strides[1 + i];
  }
  return corner;
}

template <class T>
void WindowProduct<T>::multiply(int64_t group, const Box& box, int64_t part) const {
  const int64_t results = box.results();
  const int64_t panel = tile_start(panels_, parts_, part);
  const int64_t first = panel * kernels_.panel;
  const int64_t columns =
      std::min(tile_start(panels_, parts_, part + 1) * kernels_.panel, outputs_) - first;
  const int64_t width = ceil_div(columns, 16) * 16;
  const Scratch<int64_t> tables(ScratchUse::vector, 2 * results + 2 * taps_);
  int64_t *const a_rows = tables.get(), *const c_rows = a_rows + results;
  Segment* const segments = reinterpret_cast<Segment*>(c_rows + results);
  const Scratch<T> tile(ScratchUse::tile, direct_ ? 0 : size_t(results * width));
  const Region region = blocks_ > 0 ? region_of(windows_, box) : Region{};
  const Scratch<T> copy(ScratchUse::planes, in_place_ ? 0 : size_t(region.pixels() * block_));

  int64_t out_stride[1 + kAxes];
  const int64_t corner = place_box(box, group * outputs_ + first, out_stride);
  if (direct_) {
    write_offsets(box, out_stride, c_rows);
  } else {
    for (int64_t i = 0; i < results; ++i) c_rows[i] = i * width;
  }
  T* const c = direct_ ? out_.as<T>(corner) : tile.get();
  for (int64_t block = 0; block < std::max<int64_t>(1, blocks_); ++block) {
    const int64_t channels = block_channels(block);
    TableProduct<T> product{};
    product.m = results;
    product.n = columns;
    product.a_rows = a_rows;
    product.a_step = 1;
    product.b_step = kernels_.panel;
    product.b_panel = kernels_.panel * channels * taps_;
    product.segments = segments;
    product.c = c;
    product.c_rows = c_rows;
    product.accumulate = block > 0;
    if (blocks_ > 0) {
      product.b = filters_packed_ + packed(group, block, panel);
      const int64_t channel = group * channels_ + block * block_;
      int64_t strides[1 + kAxes];  // of the pixels read
      if (in_place_) {
        strides[0] = source_.image_stride;
        std::copy_n(source_.stride, kAxes, strides + 1);
        int64_t offset = channel + box.begin[0] * strides[0];
        for (int i = 0; i < kAxes; ++i) offset += region.first[i] * strides[1 + i];
        product.a = source_.as<const T>(offset);
      } else {
        strides[3] = channels;
        for (int i = 2; i >= 0; --i) strides[i] = strides[i + 1] * region.extent[i];
        kernels_.fill(source_, region, channel, channels, channels, copy.get());
        product.a = copy;
      }
      set_segments(strides, channels, segments, product);
      for (int i = 0; i < kAxes; ++i) strides[1 + i] *= windows_.step[i];
      write_offsets(box, strides, a_rows);
    } else {
      std::fill_n(a_rows, results, 0);
    }
    kernels_.multiply(product);
  }
  if (!direct_) place(box, tile, c_rows, columns, out_stride, corner);
  placement_.finish(out_, box, group * outputs_ + first, columns);
}

// A segment for each tap; one for each row of taps where those are neighbours in memory.
template <class T>
void WindowProduct<T>::set_segments(const int64_t* strides, int64_t channels, Segment* segments,
                                    TableProduct<T>& product) const {
  const Dims* taps = windows_.taps;
  const int64_t row = int64_t(taps[2].size());
  const bool joined = strides[3] == channels && taps[2].back() - taps[2].front() == row - 1;
  product.length = joined ? row * channels : channels;
  product.segment_count = joined ? taps_ / row : taps_;
  int64_t index = 0;
  for (int64_t z : taps[0])
    for (int64_t y : taps[1])
      for (int64_t x : taps[2]) {
        if (!joined || x == taps[2].front())
          *segments++ = {(z - taps[0].front()) * strides[1] + (y - taps[1].front()) * strides[2] +
                             (x - taps[2].front()) * strides[3],
                         index * channels * kernels_.panel};
        ++index;
      }
}

// Copies a tile to the results, in the longest runs that have one stride.
template <class T>
void WindowProduct<T>::place(const Box& box, const T* tile, const int64_t* rows, int64_t columns,
                             const int64_t* strides, int64_t corner) const {
  int64_t run = box.extent(3);
  int outer = 3;  // axes before this one are walked
  while (outer > 1 && strides[outer - 1] == strides[3] * run) run *= box.extent(--outer);
  Box walked = box;
  for (int i = outer; i <= kAxes; ++i) walked.end[i] = walked.begin[i] + 1;
  for_results(walked, [&](int64_t n, int64_t z, int64_t y, int64_t x) {
    const int64_t at = corner + n * strides[0] + z * strides[1] + y * strides[2] + x * strides[3];
    kernels_.place(tile, rows, run, columns, out_.at(at), out_.dtype, strides[3],
                   out_.channel_stride);
    rows += run;
  });
}

template class WindowProduct<float>;
template class WindowProduct<double>;

}  // namespace tegula::cpu
