#include "backend/cpu/pooling.h"

#include <algorithm>
#include <optional>

#include "backend/cpu/isa.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/pooling_field.h"
#include "backend/cpu/pooling_lines.h"
#include "backend/cpu/pooling_shapes.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kSlice = 64;           // channels of a piece, at most
constexpr int64_t kElements = 1536;      // of a piece's image in each channel, about
constexpr double kPerMicrosecond = 5e3;  // bytes
constexpr double kPastBytes = 16 << 20;  // of results that no cache holds

double bytes_of(const Image& image) {
  return double(image.images * image.channels * int64_t(itemsize(image.dtype))) *
         double(image.size[0] * image.size[1] * image.size[2]);
}

// Planes of different images serve as channels of one wherever they are equally far apart.
void join_images(PoolViews& v) {
  const auto even = [](const Image& i) { return i.image_stride == i.channels * i.channel_stride; };
  if (!even(v.image) || !even(v.windows) || (v.choices.data && !even(v.choices))) return;
  for (Image* image : {&v.image, &v.windows, &v.choices}) {
    image->channels *= image->images;
    image->images = 1;
  }
}

// Calls piece(box, slice) for parts that cover `image`: boxes of its elements, cut to about `most`.
template <class F>
void for_pieces(const PoolViews& v, const Image& image, int64_t most, F&& piece) {
  Windows cut;
  std::copy_n(image.size, kAxes, cut.grid);
  const Boxes boxes(image.images, cut, std::max<int64_t>(1, tile_size(most)));
  const int64_t slices = ceil_div(image.channels, kSlice), count = boxes.count() * slices;
  const bool slices_first = image.channel_stride == 1;  // follows the memory
  parallel_for(
      count,
      [&](int64_t i) {
        const int64_t box = slices_first ? i / slices : i % boxes.count();
        const int64_t slice = slices_first ? i % slices : i / boxes.count();
        const int64_t first = tile_start(image.channels, slices, slice);
        piece(boxes[box], Slice{first, tile_start(image.channels, slices, slice + 1) - first});
      },
      bytes_of(v.image) / kPerMicrosecond);
}

// The taps of window (z, y, x) inside the image; offsets are from the first element it might see.
template <class T>
int64_t list_taps(const Pooling& p, const Field<T>& from, const int64_t* window, PoolTap* taps) {
  int64_t first[kAxes], end[kAxes], step[kAxes], base = 0;
  for (int axis = 0; axis < kAxes; ++axis) {
    const int64_t i = window[axis];
    first[axis] = p.first_tap(axis, i);
    end[axis] = p.end_tap(axis, i);
    step[axis] = p.dilation[axis] * from.stride(axis);
    base += (p.start(axis, i) - p.begin(axis, i)) * from.stride(axis);
  }
  PoolTap* tap = taps;
  for (int64_t z = first[0]; z < end[0]; ++z)
    for (int64_t y = first[1]; y < end[1]; ++y)
      for (int64_t x = first[2]; x < end[2]; ++x)
        *tap++ = {base + z * step[0] + y * step[1] + x * step[2],
                  (z * p.kernel[1] + y) * p.kernel[2] + x};
  return tap - taps;
}

template <class C>
PoolChoices choices_from(const Field<C>& choices, int64_t offset) {
  return {reinterpret_cast<std::byte*>(choices.data() + offset), choices.step(), sizeof(C) > 1};
}

template <class T, class C>
void pool_piece(const Pooling& p, const PoolViews& v, bool average, const Box& box,
                const Slice& slice) {
  const Region results = region_of(box);
  Field<T> from(v.image, p.seen_by(box), slice, ScratchUse::planes);
  from.load();
  Field<T> to(v.windows, results, slice, ScratchUse::tile, !v.windows.data);
  std::optional<Field<C>> choices;
  if (v.choices.data) choices.emplace(v.choices, results, slice, ScratchUse::right);
  const Scratch<PoolTap> taps(ScratchUse::vector, size_t(p.taps()));
  const int64_t alike = std::clamp(p.first_alike(2), box.begin[3], box.end[3]);
  const int64_t end_alike = std::clamp(p.end_alike(2), alike, box.end[3]);
  for_rows(results, [&](int64_t n, int64_t z, int64_t y) {
    for (int64_t x = box.begin[3], run; x < box.end[3]; x += run) {
      run = x == alike && x < end_alike ? end_alike - x : 1;
      const int64_t window[kAxes] = {z, y, x};
      const PoolWindows<T> windows{from.at(n, p.begin(0, z), p.begin(1, y), p.begin(2, x)),
                                   p.stride[2] * from.step(),
                                   taps,
                                   list_taps(p, from, window, taps),
                                   run,
                                   slice.lanes(),
                                   to.at(n, z, y, x),
                                   to.step()};
      if (average) {
        pool_kernels<T>().average(windows, T(p.counted(0, z) * p.counted(1, y) * p.counted(2, x)));
      } else {
        pool_kernels<T>().max(windows, choices ? choices_from(*choices, choices->offset(n, z, y, x))
                                               : PoolChoices{nullptr, 0, false});
      }
    }
  });
  to.store();
  if (choices) choices->store();
}

// What each window gives to every element that it counts, in place.
template <class T>
void divide_windows(const Pooling& p, const Field<T>& windows, const Slice& slice) {
  const Region& region = windows.region();
  const Scratch<T> divisors(ScratchUse::shared, size_t(region.extent[2]));
  for_rows(region, [&](int64_t n, int64_t z, int64_t y) {
    const int64_t rows = p.counted(0, z) * p.counted(1, y);
    for (int64_t x = 0; x < region.extent[2]; ++x)
      divisors.get()[x] = T(rows * p.counted(2, region.first[2] + x));
    pool_kernels<T>().divide(windows.at(n, z, y, region.first[2]), slice.pitch(), divisors,
                             region.extent[2]);
  });
}

template <class T, class C>
void gradient_piece(const Pooling& p, const PoolViews& v, const Box& box, const Slice& slice) {
  const bool average = !v.choices.data;
  const Region elements = region_of(box), region = p.windows_of(box);
  Field<T> upstream(v.windows, region, slice, ScratchUse::planes, average);
  upstream.load();
  std::optional<Field<C>> choices;
  if (average) {
    divide_windows(p, upstream, slice);
  } else {
    choices.emplace(v.choices, region, slice, ScratchUse::right);
    choices->load();
  }
  Field<T> to(v.image, elements, slice, ScratchUse::tile);
  const bool past = to.in_place() && bytes_of(v.image) >= kPastBytes;
  const PoolChoices chosen = choices ? choices_from(*choices, 0) : PoolChoices{nullptr, 0, false};
  const Covers covers(p, elements, region);
  const Scratch<PoolCoverRow> rows(ScratchUse::partials,
                                   size_t(region.extent[0] * region.extent[1]));
  for_rows(elements, [&](int64_t n, int64_t z, int64_t y) {
    PoolCoverRow* row = rows;
    for (const PoolCover& depth : covers.of(0, z))
      for (const PoolCover& height : covers.of(1, y))
        *row++ = {upstream.offset(n, depth.window, height.window, 0),
                  choices ? choices->offset(n, depth.window, height.window, 0) : 0,
                  (depth.tap * p.kernel[1] + height.tap) * p.kernel[2]};
    pool_kernels<T>().gather({upstream.data(), upstream.step(), chosen, rows, row - rows,
                              covers.covers(), covers.firsts(2), box.extent(3), slice.lanes(),
                              to.at(n, z, y, box.begin[3]), to.step(), past});
  });
  to.store();
}

// Calls f with a zero of the type that computes, and one of the type that choices are stored in.
template <class F>
void with_types(const char* op, DType dtype, const Pooling& p, F&& f) {
  if (!is_floating(dtype)) fail(ErrorKind::type, op, ": dtype ", dtype, " is not a floating dtype");
  dispatch_floating(dtype, [&](auto zero) {
    using T = compute_t<decltype(zero)>;
    if (p.wide()) {
      f(T(), uint32_t());
    } else {
      f(T(), uint8_t());
    }
  });
}

void run_pool(const char* op, const KernelArgs& args, bool average) {
  if (numel(args.outputs[0].shape) == 0) return;
  PoolViews v{image_of(args.inputs[0]), image_of(args.outputs[0]), {}};
  if (!average && args.outputs[1].data) v.choices = image_of(args.outputs[1]);
  const Pooling p{read_attrs<PoolAttrs>(args.attrs)};
  const int64_t most = kElements / (p.stride[0] * p.stride[1] * p.stride[2]);
  with_types(op, v.image.dtype, p, [&](auto value, auto choice) {
    if (have_lines<decltype(value)>(p, v)) return pool_lines<decltype(value)>(p, v, average);
    join_images(v);
    for_pieces(v, v.windows, most, [&](const Box& box, const Slice& slice) {
      pool_piece<decltype(value), decltype(choice)>(p, v, average, box, slice);
    });
  });
}

void run_gradient(const char* op, const KernelArgs& args, bool average) {
  if (numel(args.outputs[0].shape) == 0) return;
  PoolViews v{image_of(args.outputs[0]), image_of(args.inputs[average ? 0 : 1]), {}};
  if (!average) v.choices = image_of(args.inputs[0]);
  const Pooling p{read_attrs<PoolAttrs>(args.attrs)};
  with_types(op, v.image.dtype, p, [&](auto value, auto choice) {
    if (have_lines<decltype(value)>(p, v)) return pool_lines_gradient<decltype(value)>(p, v);
    join_images(v);
    for_pieces(v, v.image, kElements, [&](const Box& box, const Slice& slice) {
      gradient_piece<decltype(value), decltype(choice)>(p, v, box, slice);
    });
  });
}

// Vectors of channels need no copies.
ChannelsLast channels_last(const StepSpec& step) {
  const bool prefers = prefers_channels_last(step.outputs[0]);
  const uint32_t all_inputs = (1u << step.inputs.size()) - 1;
  return {.inputs = prefers ? all_inputs : 0, .output = prefers};
}

constexpr KernelEntry kEntries[] = {
    {"max_pool",
     {.run = [](const KernelArgs& args) { run_pool("max_pool", args, false); },
      .optional_outputs = true,
      .channels_last = channels_last}},
    {"max_pool_grad",
     {.run = [](const KernelArgs& args) { run_gradient("max_pool_grad", args, false); },
      .channels_last = channels_last}},
    {"avg_pool",
     {.run = [](const KernelArgs& args) { run_pool("avg_pool", args, true); },
      .channels_last = channels_last}},
    {"avg_pool_grad",
     {.run = [](const KernelArgs& args) { run_gradient("avg_pool_grad", args, true); },
      .channels_last = channels_last}},
};

}  // namespace

std::span<const KernelEntry> pooling_kernels() { return kEntries; }

}  // namespace tegula::cpu
