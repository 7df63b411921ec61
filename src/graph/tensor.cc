#include "graph/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/overflow.h"
#include "graph/primitive.h"
#include "graph/trace.h"

namespace tegula {
namespace {

thread_local bool recording_gradients = true;
Backend* chosen_device = nullptr;
thread_local Backend* scoped_device = nullptr;
Evaluator evaluator = nullptr;

// The same value with no history. A primitive of the graph layer itself: detaching needs it.
const Primitive kAlias = {
    .name = "alias",
    .kind = Kind::view,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
    .view =
        [](const Node&, const Output&, const Layout& from, Layout& to) {
          to = from;
          return true;
        },
};

template <class T>
uint64_t to_bits(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

Tensor make_scalar(uint64_t bits, DType dtype, bool weak) {
  Ref<Node> node = make_leaf(dtype, {}, default_device());
  node->state = NodeState::scalar;
  node->scalar_bits = bits;
  node->weak_scalar = weak;
  return Tensor(std::move(node));
}

double value_of(const Node& node) {
  if (!node.dynamic.empty()) return std::bit_cast<double>(node.dynamic[0]);
  return dispatch(real_dtype(node.outputs[0].dtype), [&](auto tag) -> double {
    return double(from_bits<decltype(tag)>(node.scalar_bits));
  });
}

// A number of a traced function that somebody decides by.
void note_look(const Node& node) {
  if (node.attrs.empty()) return;
  if (Trace* trace = Trace::current()) trace->note_look(node);
}

}  // namespace

Ref<Node> make_leaf(DType dtype, Shape shape, Backend& device) {
  Ref<Node> node = Node::create();
  node->device = &device;
  Output output;
  output.dtype = dtype;
  output.shape = std::move(shape);
  node->outputs.push_back(std::move(output));
  return node;
}

void Tensor::set_requires_grad(bool on) {
  if (on && !is_inexact(dtype()))
    fail(ErrorKind::type,
         "requires_grad: only floating-point and complex tensors have gradients, this one is ",
         dtype());
  if (on == requires_grad()) return;
  if (!on) {
    if (!is_leaf())
      fail(ErrorKind::runtime,
           "requires_grad: a tensor computed from others cannot stop requiring grad; use detach()");
    *this = detach(*this);
    return;
  }
  // Whatever else refers to the node goes on seeing a value without a gradient.
  if (node().ref_count() > 1 || output().cell || node().state == NodeState::scalar)
    *this = detach(*this);
  output().cell = make_ref<GradCell>();
  output().requires_grad = true;
}

GradCell& Tensor::cell() const {
  Output& out = output();
  if (!out.cell) {
    out.cell = make_ref<GradCell>();
    out.cell->is_leaf = false;
  }
  return *out.cell;
}

Tensor scalar(double value, DType dtype, bool weak) {
  const uint64_t bits = dispatch(real_dtype(dtype), [&](auto tag) -> uint64_t {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>) return value != 0;
    else if constexpr (std::is_integral_v<T>) return to_bits(T(int64_t(value)));
    else return to_bits(T(compute_t<T>(value)));
  });
  Tensor result = make_scalar(bits, dtype, weak);
  // What it meets may be more precise than the dtype it has on its own.
  if (weak) result.node().dynamic.push_back(std::bit_cast<int64_t>(value));
  return result;
}

Tensor scalar(int64_t value, DType dtype, bool weak) {
  const uint64_t bits = dispatch(real_dtype(dtype), [&](auto tag) -> uint64_t {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>) {
      return value != 0;
    } else if constexpr (std::is_integral_v<T>) {
      const bool fits = std::is_unsigned_v<T> ? value >= 0 && uint64_t(value) <= uint64_t(T(~T(0)))
                                              : int64_t(T(value)) == value;
      if (!fits) fail_overflow("the Python integer ", value, " does not fit ", dtype);
      return to_bits(T(value));
    } else {
      return to_bits(T(compute_t<T>(value)));
    }
  });
  return make_scalar(bits, dtype, weak);
}

Tensor wide_scalar(uint64_t value, bool weak) {
  return make_scalar(to_bits(value), DType::uint64, weak);
}
std::array<uint64_t, 2> scalar_element(const Node& node) { return {node.scalar_bits, 0}; }

double scalar_value(const Node& node) {
  note_look(node);
  return value_of(node);
}

Tensor cast_scalar(const Tensor& x, DType dtype) {
  const Node& node = x.node();
  if (x.dtype() == dtype && !node.weak_scalar) return x;
  Tensor result;
  if (is_inexact(x.dtype())) {
    result = scalar(value_of(node), dtype);
  } else {
    if (x.dtype() == DType::uint64 && node.scalar_bits > uint64_t(INT64_MAX)) {
      if (is_inexact(dtype)) return scalar(double(node.scalar_bits), dtype);
      if (dtype != DType::uint64 && dtype != DType::bool_)
        fail_overflow("the Python integer ", node.scalar_bits, " does not fit ", dtype);
      return dtype == DType::bool_ ? scalar(int64_t(1), dtype) : wide_scalar(node.scalar_bits);
    }
    int64_t value = 0;
    dispatch(x.dtype(), [&](auto tag) {
      if constexpr (std::is_integral_v<decltype(tag)>)
        value = int64_t(from_bits<decltype(tag)>(node.scalar_bits));
    });
    result = scalar(value, dtype);
  }
  result.node().attrs = node.attrs;
  return result;
}

Tensor from_buffer(Ref<Buffer> buffer, DType dtype, Shape shape, Layout layout) {
  Ref<Node> node = make_leaf(dtype, std::move(shape), buffer->backend());
  node->outputs[0].buffer = std::move(buffer);
  node->outputs[0].layout = std::move(layout);
  evaluated_nodes().append(node.get());
  return Tensor(std::move(node));
}

void note_line(const Tensor& x) {
  if (x.output().buffer->bytes() >= kNamedBytes && source_hooks().capture)
    x.node().where = source_hooks().capture();
}

Tensor from_host(const void* data, DType dtype, Shape shape, Backend& device) {
  const size_t bytes = size_t(checked_numel(shape, "asarray")) * itemsize(dtype);
  auto buffer = make_ref<Buffer>(device, bytes);
  buffer->allocate();
  if (bytes) device.copy_from_host(buffer->data(), data, bytes);
  Layout layout{contiguous_strides(shape), 0};
  Tensor result = from_buffer(std::move(buffer), dtype, std::move(shape), std::move(layout));
  note_line(result);
  return result;
}

Tensor on_device(const Tensor& x, Backend& device) {
  if (&x.device() == &device) return x;
  std::vector<std::byte> values(size_t(x.size()) * itemsize(x.dtype()));
  copy_to_host(x, values.data());
  return from_host(values.data(), x.dtype(), x.shape(), device);
}

Backend& default_device() {
  if (scoped_device) return *scoped_device;
  if (!chosen_device) chosen_device = &find_backend("cpu");
  return *chosen_device;
}

void set_default_device(Backend& device) { chosen_device = &device; }

DeviceScope::DeviceScope(Backend& device) : before_(std::exchange(scoped_device, &device)) {}
DeviceScope::~DeviceScope() { scoped_device = before_; }

Tensor detach(const Tensor& x) {
  GradMode off(false);
  return record(kAlias, {x});
}

namespace {

// Notes what `fresh` replaces while it is still to be computed.
void note_previous(const Output& old, const Tensor& fresh) {
  Output& output = fresh.output();
  if (!fresh.node().pending() || output.previous) return;
  if (!old.buffer) {
    output.previous = old.previous;
  } else if (old.fills_buffer()) {
    output.previous = old.buffer;
  }
}

}  // namespace

void rebind(Tensor& handle, const Tensor& fresh, const char* op) {
  require(handle.shape() == fresh.shape(), op, ": the tensor has shape ", handle.shape(),
          " and cannot become shape ", fresh.shape(), " in place");
  if (handle.dtype() != fresh.dtype())
    fail(ErrorKind::type, op, ": the tensor is ", handle.dtype(), " and cannot become ",
         fresh.dtype(), " in place");
  // A value that somebody else holds too must never turn into the one it replaces here.
  const bool shared = fresh.output().handles > 1;
  if (!(handle.requires_grad() && handle.is_leaf())) {
    if (!shared) note_previous(handle.output(), fresh);
    handle = fresh;
    return;
  }
  if (grad_enabled())
    fail(ErrorKind::runtime, op,
         ": a leaf that requires grad can be written in place only under tg.no_grad()");
  const Output& out = fresh.output();
  Tensor bound = out.cell || out.requires_grad || fresh.node().state == NodeState::scalar
                     ? detach(fresh)
                     : fresh;
  if (!shared) note_previous(handle.output(), bound);
  bound.output().cell = handle.output().cell;
  bound.output().requires_grad = true;
  handle = std::move(bound);
}

bool grad_enabled() { return recording_gradients; }
void set_grad_enabled(bool enabled) { recording_gradients = enabled; }
GradMode::GradMode(bool enabled) : before_(recording_gradients) { recording_gradients = enabled; }
GradMode::~GradMode() { recording_gradients = before_; }

void set_evaluator(Evaluator fresh) { evaluator = fresh; }

void evaluate(std::span<const Tensor> wanted, Wait wait) {
  if (!evaluator) fail(ErrorKind::runtime, "no evaluator: the plan layer is not linked in");
  if (Trace::current()) {
    for (const Tensor& x : wanted) require_known(x, "evaluation");
    if (wanted.empty()) return;
    const TracePause pause;
    return evaluator(wanted, wait);
  }
  evaluator(wanted, wait);
}

void copy_to_host(const Tensor& traced, void* destination) {
  const Tensor x = require_known(traced, "item");
  const size_t item = itemsize(x.dtype());
  if (x.node().state == NodeState::scalar) {
    note_look(x.node());
    std::memcpy(destination, scalar_element(x.node()).data(), item);
    return;
  }
  evaluate(x);
  const Output& out = x.output();
  const int64_t count = numel(out.shape);
  if (count == 0) return;
  const Backend& device = out.buffer->backend();
  const std::byte* base = out.buffer->data() + out.layout.offset * int64_t(item);
  if (is_contiguous(out.shape, out.layout.strides)) {
    device.copy_to_host(destination, base, size_t(count) * item);
    return;
  }
  auto* to = static_cast<std::byte*>(destination);
  Dims index(out.shape.size(), 0);
  for (int64_t done = 0; done < count; ++done, to += item) {
    int64_t offset = 0;
    for (size_t i = 0; i < index.size(); ++i) offset += index[i] * out.layout.strides[i];
    device.copy_to_host(to, base + offset * int64_t(item), item);
    for (size_t i = index.size(); i-- > 0;) {
      if (++index[i] < out.shape[i]) break;
      index[i] = 0;
    }
  }
}

double item_as_double(const Tensor& x) {
  require(x.size() == 1, "item: needs exactly one element, the tensor has shape ", x.shape());
  return dispatch(x.dtype(), [&](auto tag) -> double {
    copy_to_host(x, &tag);
    return double(tag);
  });
}

std::complex<double> item_as_complex(const Tensor& x) {
  require(x.size() == 1, "item: needs exactly one element, the tensor has shape ", x.shape());
  if (!is_complex(x.dtype())) return item_as_double(x);
  return dispatch_all(x.dtype(), [&](auto tag) -> std::complex<double> {
    if constexpr (requires { tag.im; }) {
      copy_to_host(x, &tag);
      return std::complex<double>(tag);
    }
    return 0;
  });
}

int64_t item_as_int(const Tensor& x) {
  require(x.size() == 1, "item: needs exactly one element, the tensor has shape ", x.shape());
  return dispatch(x.dtype(), [&](auto tag) -> int64_t {
    copy_to_host(x, &tag);
    return int64_t(compute_t<decltype(tag)>(tag));
  });
}

}  // namespace tegula
