#include "workbench.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>

#include "reference_loops.h"

namespace tegula::bench {
namespace {

constexpr double kShortest = 20e-6;  // a batch takes at least so long: the clock costs 25 ns
constexpr size_t kMostBatches = 100'000;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Calls f(data of the element) in row-major order.
template <class F>
void for_each_element(const View& view, F&& f) {
  const size_t rank = view.shape.size();
  Dims at(rank);
  const int64_t count = numel(view.shape);
  const auto size = int64_t(itemsize(view.dtype));
  std::byte* data = view.data;
  for (int64_t i = 0; i < count; ++i) {
    f(data);
    for (size_t axis = rank; axis-- > 0;) {
      data += view.strides[axis] * size;
      if (++at[axis] < view.shape[axis]) break;
      data -= view.shape[axis] * view.strides[axis] * size;
      at[axis] = 0;
    }
  }
}

// Where the elements of a .npy file begin.
std::streamoff npy_header(const std::string& path, std::ifstream& file) {
  char start[10] = {};
  file.read(start, sizeof start);
  require(file && std::memcmp(start, "\x93NUMPY\1", 7) == 0, "load: '", path,
          "' is no .npy file of version 1");
  return 10 + (uint8_t(start[8]) | uint8_t(start[9]) << 8);
}

}  // namespace

Timing time_calls(FunctionRef<void()> f, double seconds) {
  int64_t batch = 1;
  for (;;) {
    const double start = now();
    for (int64_t i = 0; i < batch; ++i) f();
    const double elapsed = now() - start, each = elapsed / double(batch);
    if (elapsed >= seconds) return {each, each, each, batch};  // there is no time for more
    if (elapsed >= kShortest) break;
    batch *= 2;
  }
  std::vector<double> times;
  times.reserve(kMostBatches);
  const double end = now() + seconds;
  double last = now();
  do {
    const double start = last;
    for (int64_t i = 0; i < batch; ++i) f();
    last = now();
    times.push_back((last - start) / double(batch));
  } while (last < end && times.size() < kMostBatches);
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back(), int64_t(times.size()) * batch};
}

Workbench::Workbench() : backend_(find_backend("cpu")) {}
Workbench::~Workbench() { clear(); }

void Workbench::add_tensor(const std::string& name, DType dtype, const Shape& shape,
                           const Strides& strides) {
  require(shape.size() == strides.size(), "tensor ", name, ": shape ", shape, " and strides ",
          strides, " differ in length");
  require(!tensors_.contains(name), "tensor ", name, ": there already");
  int64_t lowest = 0, highest = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t reach = std::max<int64_t>(shape[i] - 1, 0) * strides[i];
    (reach < 0 ? lowest : highest) += reach;
  }
  const size_t bytes = size_t(highest - lowest + 1) * itemsize(dtype);
  std::byte* data = backend_.allocate(bytes);
  if (!data) fail(ErrorKind::out_of_memory, "tensor ", name, ": no memory for ", bytes, " bytes");
  std::memset(data, 0, bytes);
  const View view{data - lowest * int64_t(itemsize(dtype)), dtype, shape, strides};
  tensors_.emplace(name, Memory{data, bytes, view});
}

void Workbench::load(const std::string& name, const std::string& path) {
  const View& view = find(name).view;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  require(bool(file), "load: cannot read '", path, "'");
  const std::streamoff end = file.tellg();
  file.seekg(0);
  const std::streamoff header = npy_header(path, file);
  const auto size = std::streamoff(itemsize(view.dtype));
  require(end - header == numel(view.shape) * size, "load: '", path, "' holds ", end - header,
          " bytes of elements, ", name, " has ", numel(view.shape) * size);
  file.seekg(header);
  if (is_contiguous(view.shape, view.strides)) {
    file.read(reinterpret_cast<char*>(view.data), end - header);
    return;
  }
  for_each_element(view, [&](std::byte* data) { file.read(reinterpret_cast<char*>(data), size); });
}

void Workbench::save(const std::string& name, const std::string& path) const {
  const View& view = this->view(name);
  std::ofstream file(path, std::ios::binary);
  const auto size = std::streamsize(itemsize(view.dtype));
  if (is_contiguous(view.shape, view.strides))
    file.write(reinterpret_cast<const char*>(view.data), numel(view.shape) * size);
  else
    for_each_element(view, [&](const std::byte* data) {
      file.write(reinterpret_cast<const char*>(data), size);
    });
  require(bool(file), "save: cannot write '", path, "'");
}

void Workbench::fill(const std::string& name, double low, double high) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> any(low, high);
  const View& view = find(name).view;
  dispatch(view.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_element(
        view, [&](std::byte* data) { *reinterpret_cast<T*>(data) = T(compute_t<T>(any(random))); });
  });
}

const Workbench::Memory& Workbench::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  require(found != tensors_.end(), "there is no tensor '", name, "'");
  return found->second;
}

const View& Workbench::view(const std::string& name) const {
  const auto found = results_.find(name);
  return found == results_.end() ? find(name).view : found->second;
}

std::vector<View> Workbench::views(const std::vector<std::string>& names) const {
  std::vector<View> out;
  for (const std::string& name : names) out.push_back(view(name));
  return out;
}

void Workbench::add(const std::string& kind, Step step) {
  const StepSpec spec{kind, step.inputs, step.outputs, step.attrs, step.program.get()};
  step.kernel = find_reference_loop(kind);
  if (!step.kernel) step.kernel = backend_.find_kernel(spec);
  if (!step.kernel)
    fail(ErrorKind::unsupported, "there is no kernel for steps of kind '", kind, "'");
  if (step.kernel->prepare) step.prepared = step.kernel->prepare(spec);
  steps_.push_back(std::move(step));
}

void Workbench::add_step(const std::string& kind, const std::vector<std::string>& inputs,
                         const std::vector<std::string>& outputs, const Attrs& attrs,
                         const std::vector<int64_t>& dynamic) {
  Step step;
  step.inputs = views(inputs);
  step.outputs = views(outputs);
  step.attrs = attrs;
  step.dynamic = dynamic;
  add(kind, std::move(step));
}

void Workbench::add_tile(const std::string& program, const std::vector<std::string>& inputs,
                         const std::vector<std::string>& outputs) {
  Step step;
  step.inputs = views(inputs);
  step.outputs = views(outputs);
  step.program = std::make_unique<TileProgram>(parse_tile(program));
  check(*step.program);
  add("tile", std::move(step));
}

void Workbench::add_recorded(const std::vector<std::string>& lines,
                             const std::vector<std::string>& inputs,
                             const std::vector<std::string>& outputs) {
  std::map<std::string, Tensor> leaves;
  for (const std::string& name : inputs) {
    const Memory& memory = find(name);
    const View& view = memory.view;
    const int64_t offset = (view.data - memory.data) / int64_t(itemsize(view.dtype));
    const auto buffer = make_ref<Buffer>(backend_, memory.data, memory.bytes, [] {});
    leaves[name] = from_buffer(buffer, view.dtype, view.shape, {view.strides, offset});
  }
  auto recorded = std::make_unique<Recorded>(std::move(leaves), lines, outputs);
  for (const tegula::Step& planned : recorded->steps()) {
    Step step;
    step.inputs = planned.inputs;
    step.outputs = planned.outputs;
    step.attrs = planned.attrs;
    const std::span<const int64_t> dynamic = recorded->dynamic(planned);
    step.dynamic.assign(dynamic.begin(), dynamic.end());
    step.kernel = planned.kernel;
    step.prepared = planned.prepared;
    steps_.push_back(std::move(step));
  }
  for (const auto& [name, view] : recorded->outputs()) results_[name] = view;
  recorded_.push_back(std::move(recorded));
}

void Workbench::run() const {
  for (const Step& step : steps_) {
    KernelArgs args;
    args.inputs = step.inputs;
    args.outputs = step.outputs;
    args.attrs = step.attrs;
    args.dynamic = step.dynamic;
    args.prepared = step.prepared.get();
    step.kernel->run(args);
  }
}

void Workbench::clear_steps() {
  steps_.clear();
  results_.clear();
  recorded_.clear();
}

void Workbench::clear() {
  clear_steps();
  for (const auto& [name, memory] : tensors_) backend_.deallocate(memory.data, memory.bytes);
  tensors_.clear();
}

}  // namespace tegula::bench
