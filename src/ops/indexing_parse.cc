// Python subscripts, by NumPy's rules (NEP 21's "legacy" indexing, which is NumPy's own).
#include <algorithm>

#include "ops/indexing.h"

namespace tegula {
namespace {

constexpr int64_t kArrays = -1;  // in a layout: where the arrays' axes go

bool is_mask(const IndexItem& item) {
  return item.kind == IndexItem::array && item.array_value.dtype() == DType::bool_;
}

size_t axes_taken(const IndexItem& item) {
  if (item.kind == IndexItem::new_axis || item.kind == IndexItem::ellipsis) return 0;
  return is_mask(item) ? item.array_value.rank() : 1;
}

struct Range {
  int64_t start, size, step;
};

// As slice.indices() of Python.
Range resolve_slice(const IndexItem& item, int64_t extent) {
  const int64_t step = std::max(item.step, -INT64_MAX);
  require(step != 0, "indexing: a slice's step must not be 0");
  const int64_t lower = step > 0 ? 0 : -1, upper = step > 0 ? extent : extent - 1;
  const auto clip = [&](int64_t i) {
    return i < 0 ? std::max(i + extent, lower) : std::min(i, upper);
  };
  const int64_t start = item.has_start ? clip(item.start) : (step > 0 ? lower : upper);
  const int64_t stop = item.has_stop ? clip(item.stop) : (step > 0 ? upper : lower);
  const int64_t reach = step > 0 ? stop - start : start - stop;
  const int64_t size = reach > 0 ? (reach - 1) / std::abs(step) + 1 : 0;
  return {size ? start : 0, size, size > 1 ? step : 1};
}

class Parser {
 public:
  explicit Parser(const Tensor& x) : x_(x) {}

  Subscript parse(std::span<const IndexItem> items) {
    size_t taken = 0, ellipses = 0;
    for (const IndexItem& item : items) {
      taken += axes_taken(item);
      ellipses += item.kind == IndexItem::ellipsis;
      any_array_ |= item.kind == IndexItem::array;
    }
    if (ellipses > 1) fail(ErrorKind::index, "indexing: only one ellipsis ('...') is allowed");
    if (taken > x_.rank())
      fail(ErrorKind::index, "indexing: too many indices: ", taken, " for a tensor of shape ",
           x_.shape());
    const size_t open = x_.rank() - taken;
    for (const IndexItem& item : items) {
      if (item.kind == IndexItem::ellipsis) whole_axes(open);
      else add(item);
    }
    if (!ellipses) whole_axes(open);
    finish();
    return std::move(s_);
  }

 private:
  int64_t extent() const { return x_.shape()[s_.starts.size()]; }

  void cut(int64_t start, int64_t size, int64_t step) {
    s_.whole &= start == 0 && size == extent() && step == 1;
    s_.starts.push_back(start);
    s_.sizes.push_back(size);
    s_.steps.push_back(step);
  }

  void keep_axis(const Range& range) {
    cut(range.start, range.size, range.step);
    s_.base.push_back(range.size);
    s_.layout.push_back(range.size);
    separate();
  }

  void whole_axes(size_t count) {
    separate();
    for (size_t i = 0; i < count; ++i) keep_axis({0, extent(), 1});
  }

  // Integers and arrays index together; anything between two of them sends their axes to the front.
  void separate() { separated_ |= together_; }
  void join() {
    if (!any_array_) return;
    if (!together_) s_.layout.push_back(kArrays);
    s_.arrays_adjacent &= !separated_;
    together_ = true;
  }

  void add(const IndexItem& item) {
    switch (item.kind) {
      case IndexItem::integer:
        return add_integer(item.start);
      case IndexItem::slice:
        return keep_axis(resolve_slice(item, extent()));
      case IndexItem::new_axis:
        s_.layout.push_back(1);
        return separate();
      case IndexItem::array:
        return is_mask(item) ? add_mask(item) : add_indices(item);
      case IndexItem::ellipsis:
        return;
    }
  }

  void add_integer(int64_t index) {
    const int64_t size = extent();
    if (index < -size || index >= size)
      fail(ErrorKind::index, "index ", index, " is out of bounds for axis ", s_.starts.size(),
           " with size ", size);
    cut(index < 0 ? index + size : index, 1, 1);
    join();
  }

  void add_indices(const IndexItem& item) {
    if (!is_integer(item.array_value.dtype()))
      fail(ErrorKind::index, "indexing: an index tensor must be of integers or bool, got ",
           item.array_value.dtype());
    const int64_t size = extent();
    s_.arrays.push_back({s_.base.size(), item.array_value, {}, s_.starts.size()});
    s_.base.push_back(size);
    cut(0, size, 1);
    join();
  }

  void add_mask(const IndexItem& item) {
    const Shape& mask = item.array_value.shape();
    const size_t first = s_.starts.size();
    int64_t merged = 1;
    for (size_t i = 0; i < mask.size(); ++i) {
      const int64_t size = extent();
      if (mask[i] != size && mask[i] != 0)  // none are chosen, as in NumPy
        fail(ErrorKind::index, "indexing: a mask of shape ", mask, " does not fit axis ", first + i,
             " of shape ", x_.shape(), ": ", mask[i], " against ", size);
      merged *= size;
      cut(0, size, 1);
    }
    s_.arrays.push_back({s_.base.size(), item.array_value, mask, first, true});
    s_.base.push_back(merged);
    join();
  }

  void finish() {
    if (s_.arrays_adjacent) return;
    size_t place = 0;
    while (s_.layout[place] != kArrays) ++place;
    s_.layout.erase(place);
    s_.layout.insert(0, kArrays);
  }

  const Tensor& x_;
  Subscript s_;
  bool any_array_ = false, together_ = false, separated_ = false;
};

}  // namespace

Subscript parse_subscript(const Tensor& x, std::span<const IndexItem> items) {
  return Parser(x).parse(items);
}

}  // namespace tegula
