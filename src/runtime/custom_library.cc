#include "runtime/custom_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <utility>

#include "base/shape.h"
#include "runtime/thread_pool.h"

namespace tegula {
namespace {

constexpr const char* kEntry = "tegula_custom_ops";

static_assert(int(DType::bool_) == TEGULA_BOOL && int(DType::int64) == TEGULA_INT64 &&
              int(DType::uint8) == TEGULA_UINT8 && int(DType::uint64) == TEGULA_UINT64 &&
              int(DType::float16) == TEGULA_FLOAT16 && int(DType::bfloat16) == TEGULA_BFLOAT16 &&
              int(DType::float32) == TEGULA_FLOAT32 && int(DType::float64) == TEGULA_FLOAT64);
static_assert(sizeof(tegula_value) == sizeof(int64_t));

// ---- calls -----------------------------------------------------------------------------------

// What the piece or call that runs on this thread has failed with.
thread_local std::exception_ptr failure;

struct Call : tegula_call {
  const CustomKernel* kernel;
};

ErrorKind kind_of(int32_t error) {
  switch (error) {
    case TEGULA_TYPE_ERROR:
      return ErrorKind::type;
    case TEGULA_INDEX_ERROR:
      return ErrorKind::index;
    case TEGULA_RUNTIME_ERROR:
      return ErrorKind::runtime;
    default:
      return ErrorKind::value;
  }
}

void note_failure(const tegula_call* call, int32_t error, const char* message) {
  const std::string& name = static_cast<const Call*>(call)->kernel->name;
  if (!failure) failure = std::make_exception_ptr(Error(kind_of(error), cat(name, ": ", message)));
}

// Calls the library's code; what it has failed with, or let out, is thrown.
template <class F>
void guarded(const CustomKernel& kernel, const char* what, F&& f) {
  failure = nullptr;
  int32_t status = 0;
  try {
    status = f();
  } catch (const std::exception& error) {
    failure = nullptr;
    fail(ErrorKind::runtime, kernel.name, ": ", what, " threw a C++ exception: ", error.what());
  } catch (...) {
    failure = nullptr;
    fail(ErrorKind::runtime, kernel.name, ": ", what, " threw a C++ exception");
  }
  if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
  if (status != 0)
    fail(ErrorKind::runtime, kernel.name, ": ", what, " failed (it returned ", status,
         ") and did not say why; tegula_fail does");
}

// No exception may pass through the library's frames: it waits in `failure`.
int32_t run_pieces(const tegula_call* call, int64_t count, double microseconds,
                   void (*piece)(void*, int64_t), void* data) {
  const CustomKernel& kernel = *static_cast<const Call*>(call)->kernel;
  if (failure) return 1;
  const auto run = [&](int64_t index) {
    guarded(kernel, "a piece of the kernel", [&] {
      piece(data, index);
      return 0;
    });
  };
  std::exception_ptr found;
  try {
    parallel_for(count, run, microseconds);
  } catch (...) {
    found = std::current_exception();
  }
  failure = found;
  return found ? 1 : 0;
}

constexpr tegula_engine kEngine = {note_failure, run_pieces};

std::vector<tegula_tensor> tensors_of(std::span<const View> views) {
  std::vector<tegula_tensor> tensors;
  for (const View& v : views)
    tensors.push_back(
        {v.data, int32_t(v.dtype), int32_t(v.shape.size()), v.shape.begin(), v.strides.begin()});
  return tensors;
}

Call call_of(const CustomKernel& kernel, const std::vector<tegula_tensor>& inputs,
             std::span<const int64_t> attributes) {
  Call call{};
  call.engine = &kEngine;
  call.input_count = int32_t(inputs.size());
  call.output_count = kernel.declared->output_count;
  call.attribute_count = int32_t(attributes.size());
  call.inputs = inputs.data();
  call.attributes = reinterpret_cast<const tegula_value*>(attributes.data());
  call.kernel = &kernel;
  return call;
}

View checked_result(const CustomKernel& kernel, int k, const tegula_result& result) {
  const std::string what = cat(kernel.name, ": the shape rule gives output ", k);
  if (result.dtype < 0 || result.dtype >= kDTypeCount)
    fail(ErrorKind::runtime, what, " dtype ", result.dtype, ", which is none");
  if (result.rank < 0 || result.rank > TEGULA_MAX_RANK)
    fail(ErrorKind::runtime, what, " rank ", result.rank, "; it must be from 0 to ",
         TEGULA_MAX_RANK);
  View view;
  view.dtype = DType(result.dtype);
  view.shape = Shape(result.shape, result.shape + result.rank);
  checked_numel(view.shape, kernel.name + ": output " + std::to_string(k));
  view.strides = contiguous_strides(view.shape);
  return view;
}

// ---- libraries -------------------------------------------------------------------------------

bool is_identifier(const char* name) {
  if (!name || !*name || (*name >= '0' && *name <= '9')) return false;
  return std::all_of(name, name + std::char_traits<char>::length(name), [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

template <class... Parts>
[[noreturn]] void refuse(const std::string& path, const Parts&... parts) {
  fail(ErrorKind::value, "load_custom_ops: ", path, ": ", parts...);
}

std::unique_ptr<CustomLibrary> read(const std::string& path, const tegula_library* declared) {
  if (!declared) refuse(path, kEntry, "() returned null");
  if (declared->abi != TEGULA_CUSTOM_OP_ABI)
    refuse(path, "it was built for version ", declared->abi,
           " of the interface, this Tegula has version ", TEGULA_CUSTOM_OP_ABI,
           "; compile it again with the header in tg.custom_op_include()");
  if (!is_identifier(declared->name))
    refuse(path, "the library's name must be a Python identifier, it is '",
           declared->name ? declared->name : "", "'");
  if (declared->operation_count > 0 && !declared->operations)
    refuse(path, "it declares ", declared->operation_count, " operations at a null address");
  auto library = std::make_unique<CustomLibrary>();
  library->name = declared->name;
  library->path = path;
  for (uint32_t i = 0; i < declared->operation_count; ++i) {
    const tegula_operation& operation = declared->operations[i];
    if (!is_identifier(operation.name))
      refuse(path, "the name of operation ", i, " must be a Python identifier, it is '",
             operation.name ? operation.name : "", "'");
    for (const auto& other : library->kernels)
      if (other->name == cat(library->name, ".", operation.name))
        refuse(path, "it declares two operations called '", operation.name, "'");
    if (!operation.parameters) refuse(path, "operation '", operation.name, "' has no parameters");
    if (!operation.kernel) refuse(path, "operation '", operation.name, "' has no kernel");
    if (!operation.shape) refuse(path, "operation '", operation.name, "' has no shape rule");
    if (operation.output_count < 1)
      refuse(path, "operation '", operation.name, "' declares ", operation.output_count,
             " outputs; it must have at least 1");
    if (operation.flags & ~uint32_t(TEGULA_PURE | TEGULA_DENSE_INPUTS))
      refuse(path, "operation '", operation.name, "' has unknown flags, ", operation.flags);
    library->kernels.push_back(std::make_unique<CustomKernel>(
        CustomKernel{cat(library->name, ".", operation.name), &operation}));
  }
  return library;
}

}  // namespace

std::vector<View> CustomKernel::infer(std::span<const View> inputs,
                                      std::span<const int64_t> attributes) const {
  const std::vector<tegula_tensor> tensors = tensors_of(inputs);
  const Call call = call_of(*this, tensors, attributes);
  std::vector<tegula_result> results(size_t(declared->output_count), tegula_result{-1, -1, {}});
  guarded(*this, "the shape rule", [&] { return declared->shape(&call, results.data()); });
  std::vector<View> views;
  for (size_t k = 0; k < results.size(); ++k)
    views.push_back(checked_result(*this, int(k), results[k]));
  return views;
}

void CustomKernel::run(std::span<const View> inputs, std::span<const View> outputs,
                       std::span<const int64_t> attributes) const {
  const std::vector<tegula_tensor> from = tensors_of(inputs), to = tensors_of(outputs);
  Call call = call_of(*this, from, attributes);
  call.outputs = to.data();
  guarded(*this, "the kernel", [&] { return declared->kernel(&call); });
}

const CustomLibrary& load_custom_library(const std::string& path) {
  static std::mutex mutex;
  static auto& libraries = *new std::vector<std::pair<void*, std::unique_ptr<CustomLibrary>>>;
  const std::lock_guard lock(mutex);
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) refuse(path, "this is no shared library that can be loaded: ", dlerror());
  struct Close {
    void* handle;
    ~Close() {
      if (handle) dlclose(handle);
    }
  } close{handle};
  for (const auto& [known, library] : libraries)
    if (known == handle) return *library;
  using Entry = const tegula_library* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, kEntry));
  if (!entry)
    refuse(path, "the library has no function ", kEntry,
           "; TEGULA_CUSTOM_OPS(name, operations) of tegula/custom_op.h defines it");
  std::unique_ptr<CustomLibrary> library = read(path, entry());
  for (const auto& [known, other] : libraries)
    if (other->name == library->name)
      refuse(path, "operations called '", library->name, "' are loaded already, from ", other->path,
             "; a library that was built anew is loaded by a new process");
  close.handle = nullptr;
  libraries.emplace_back(handle, std::move(library));
  return *libraries.back().second;
}

}  // namespace tegula
