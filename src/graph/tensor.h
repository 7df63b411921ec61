// The handle users hold: a reference to one value of the graph. While a handle lives, an
// evaluation computes and keeps its value.
#pragma once

#include <array>
#include <complex>
#include <optional>
#include <span>

#include "graph/node.h"

namespace tegula {

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Value value) : value_(std::move(value)) { count(+1); }
  explicit Tensor(Ref<Node> node, uint32_t index = 0) : value_{std::move(node), index} {
    count(+1);
  }
  Tensor(const Tensor& other) : value_(other.value_) { count(+1); }
  Tensor(Tensor&& other) noexcept : value_(std::move(other.value_)) { other.value_ = {}; }
  Tensor& operator=(Tensor other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Tensor() { count(-1); }

  explicit operator bool() const { return bool(value_.node); }
  const Value& value() const { return value_; }
  Node& node() const { return *value_.node; }
  Output& output() const { return value_.node->outputs[value_.index]; }

  const Shape& shape() const { return output().shape; }
  size_t rank() const { return output().shape.size(); }
  int64_t size() const { return numel(output().shape); }
  DType dtype() const { return output().dtype; }
  Backend& device() const { return *node().device; }
  bool requires_grad() const { return output().requires_grad; }
  bool is_leaf() const { return !requires_grad() || (output().cell && output().cell->is_leaf); }

  // Makes it a leaf that collects a gradient, or stops it being one. Throws for a value that is
  // computed from others and for dtypes without derivatives.
  void set_requires_grad(bool on);
  // The cell, made when there is none yet (for hooks and retained gradients).
  GradCell& cell() const;

  friend bool operator==(const Tensor& a, const Tensor& b) { return a.value_ == b.value_; }

 private:
  void count(int delta) {
    if (value_.node) value_.node->outputs[value_.index].handles += delta;
  }
  Value value_;
};

using Tensors = std::vector<Tensor>;

// A Python number. `weak` ones take the dtype of the tensor they are combined with.
Tensor scalar(double value, DType dtype, bool weak = false);
Tensor scalar(int64_t value, DType dtype, bool weak = false);
// A Python integer that only uint64 holds.
Tensor wide_scalar(uint64_t value, bool weak = false);
// A scalar's value as double (exact for what float64 holds).
double scalar_value(const Node& node);
// The element in memory, of any dtype.
std::array<uint64_t, 2> scalar_element(const Node& node);
// The same number as a scalar of another dtype; ValueError if an integer does not fit.
Tensor cast_scalar(const Tensor& x, DType dtype);

// A leaf without memory.
Ref<Node> make_leaf(DType dtype, Shape shape, Backend& device);
// A leaf around memory that already holds values.
Tensor from_buffer(Ref<Buffer> buffer, DType dtype, Shape shape, Layout layout);
// Copies `bytes` of dense row-major host data into a new leaf.
Tensor from_host(const void* data, DType dtype, Shape shape, Backend& device);
// The same values on a device, without their history where they are elsewhere, for which it waits.
Tensor on_device(const Tensor& x, Backend& device);

// Values of so many bytes and more are named by the memory report, one by one.
constexpr size_t kNamedBytes = size_t(64) << 10;
// Notes where in the user's program a value came into memory, if it is large enough to be named.
void note_line(const Tensor& x);

Backend& default_device();
void set_default_device(Backend& device);
// While it lives, `device` is this thread's default: for composites and derivatives, whose
// constants belong beside the tensors they are combined with.
class DeviceScope {
 public:
  explicit DeviceScope(Backend& device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  Backend* before_;
};

// The same value without its history: nothing flows back through the result.
Tensor detach(const Tensor& x);
// Rebinds `handle` to a new value of the same shape and dtype. A leaf stays the leaf it was
// (its gradient and hooks move along), which is refused where grad is enabled.
void rebind(Tensor& handle, const Tensor& fresh, const char* op);

// Gradient recording of this thread.
bool grad_enabled();
class GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};
void set_grad_enabled(bool enabled);

// ---- Evaluation, provided by the layer above ----------------------------------------------
enum class Wait : bool { no, yes };
using Evaluator = void (*)(std::span<const Tensor> wanted, Wait wait);
void set_evaluator(Evaluator evaluator);
// Submits every pending node of this thread that has a live handle, and `wanted`; with Wait::yes
// returns when `wanted` are there, and rethrows what went wrong in computing them.
void evaluate(std::span<const Tensor> wanted, Wait wait);
inline void evaluate(const Tensor& x) { evaluate(std::span(&x, 1), Wait::yes); }

// Copies the evaluated values, dense and row-major.
void copy_to_host(const Tensor& x, void* destination);
double item_as_double(const Tensor& x);
std::complex<double> item_as_complex(const Tensor& x);
int64_t item_as_int(const Tensor& x);

}  // namespace tegula
