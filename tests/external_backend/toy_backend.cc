#include "toy_backend.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "graph/attrs.h"
#include "plan/tile_interpreter.h"

namespace {

using namespace tegula;

size_t held_bytes = 0;

// Element (..., row, column) of a view, `batch` counting the axes before the last two in row-major
// order.
float& element(const View& view, int64_t batch, int64_t row, int64_t column) {
  const size_t rank = view.shape.size();
  int64_t at = row * view.strides[rank - 2] + column * view.strides[rank - 1];
  for (size_t axis = rank - 2; axis-- > 0;) {
    at += batch % view.shape[axis] * view.strides[axis];
    batch /= view.shape[axis];
  }
  return view.as<float>()[at];
}

void matmul(const KernelArgs& args) {
  const auto [transpose_a, transpose_b] = read_attrs<MatmulAttrs>(args.attrs);
  const View &a = args.inputs[0], &b = args.inputs[1], &c = args.outputs[0];
  const size_t rank = c.shape.size();
  const int64_t rows = c.shape[rank - 2], columns = c.shape[rank - 1];
  const int64_t inner = a.shape[rank - (transpose_a ? 2 : 1)];
  if (rows * columns == 0) return;
  for (int64_t batch = 0; batch < numel(c.shape) / (rows * columns); ++batch)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        float sum = 0;
        for (int64_t k = 0; k < inner; ++k)
          sum += (transpose_a ? element(a, batch, k, i) : element(a, batch, i, k)) *
                 (transpose_b ? element(b, batch, j, k) : element(b, batch, k, j));
        element(c, batch, i, j) = sum;
      }
}

void check_index(const KernelArgs& args) {
  const auto [size, axis] = read_attrs<std::array<int64_t, 2>>(args.attrs);
  for (int64_t i = 0; i < args.inputs[0].shape[0]; ++i) {
    const int64_t index = args.inputs[0].as<int64_t>()[i * args.inputs[0].strides[0]];
    if (index < -size || index >= size)
      fail(ErrorKind::index, "index ", index, " is out of bounds for axis ", axis, " with size ",
           size);
    args.outputs[0].as<int64_t>()[i] = index < 0 ? index + size : index;
  }
}

// Rows of a matrix.
void gather(const KernelArgs& args) {
  const View &x = args.inputs[0], &index = args.inputs[1], &y = args.outputs[0];
  for (int64_t i = 0; i < y.shape[0]; ++i)
    for (int64_t j = 0; j < y.shape[1]; ++j)
      element(y, 0, i, j) = element(x, 0, index.as<int64_t>()[i * index.strides[0]], j);
}

// Views are all the engine hands over, so a tile program is kept where the plan keeps the step.
std::shared_ptr<void> keep_program(const StepSpec& step) {
  return std::make_shared<TileProgram>(*step.program);
}
void run_program(const KernelArgs& args) {
  interpret(*static_cast<const TileProgram*>(args.prepared), args.inputs, args.outputs);
}

class ToyBackend : public Backend {
 public:
  ~ToyBackend() override { allocator().trim(); }
  std::string_view name() const override { return "toy"; }
  std::byte* allocate(size_t bytes) override {
    held_bytes += bytes;
    return static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  }
  void deallocate(std::byte* data, size_t bytes) noexcept override {
    held_bytes -= bytes;
    std::free(data);
  }
  const Kernel* find_kernel(const StepSpec& step) const override {
    static const Kernel tile{run_program, keep_program, false};
    static const Kernel product{matmul, nullptr, false};
    static const Kernel checked{check_index, nullptr, true};
    static const Kernel rows{gather, nullptr, false};
    if (step.kind == "tile") return &tile;
    if (step.kind == "matmul") return &product;
    if (step.kind == "check_index") return &checked;
    if (step.kind == "gather") return &rows;
    return nullptr;
  }
  void copy_from_host(std::byte* destination, const void* source, size_t bytes) override {
    std::memcpy(destination, source, bytes);
  }
  void copy_to_host(void* destination, const std::byte* source, size_t bytes) const override {
    std::memcpy(destination, source, bytes);
  }
  bool host_memory() const override { return true; }
  std::string description() const override { return "interprets tile programs"; }
};

}  // namespace

size_t toy_bytes() { return held_bytes; }

std::unique_ptr<tegula::Backend> make_toy_backend() { return std::make_unique<ToyBackend>(); }
