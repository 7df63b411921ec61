#include "runtime/backend.h"

#include <mutex>

#include "base/error.h"

namespace tegula {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::unique_ptr<Backend>> backends;
};

// Never destroyed: buffers held by other statics, and by Python until it is gone, give their memory
// back to a backend.
Registry& registry() {
  static Registry& instance = *std::make_unique<Registry>().release();
  return instance;
}

Backend* find_in(const Registry& registry, std::string_view name) {
  for (const auto& backend : registry.backends)
    if (backend->name() == name) return backend.get();
  return nullptr;
}

}  // namespace

Backend::Backend() : allocator_(*this) {}

void register_backend(std::unique_ptr<Backend> backend) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  require(!find_in(all, backend->name()), "register_backend: there is already a device called '",
          backend->name(), "'");
  all.backends.push_back(std::move(backend));
}

Backend& find_backend(std::string_view name) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (Backend* found = find_in(all, name)) return *found;
  std::string names;
  for (const auto& backend : all.backends) {
    if (!names.empty()) names += ", ";
    names += backend->name();
  }
  fail(ErrorKind::device, "no device is called '", name,
       "'; there are: ", names.empty() ? "none" : names);
}

std::vector<Backend*> backends() {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  std::vector<Backend*> out;
  for (const auto& backend : all.backends) out.push_back(backend.get());
  return out;
}

}  // namespace tegula
