#include "runtime/forms.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "runtime/backend.h"

namespace tegula {
namespace {

// Guards every Forms' list, since memory may be wanted back by any thread.
std::mutex& forms_mutex() {
  static std::mutex& mutex = *std::make_unique<std::mutex>().release();
  return mutex;
}
// Never destroyed: buffers may outlive static objects.
std::unordered_set<Forms*>& all_forms() {
  static auto& all = *std::make_unique<std::unordered_set<Forms*>>().release();
  return all;
}

}  // namespace

Forms::Forms(Backend& backend) : backend_(backend) {
  const std::lock_guard lock(forms_mutex());
  all_forms().insert(this);
}

Forms::~Forms() {
  const std::lock_guard lock(forms_mutex());
  all_forms().erase(this);
}

Forms::Form* Forms::find(const FormKey& key) {
  const auto found =
      std::find_if(forms_.begin(), forms_.end(), [&](const Form& form) { return form.key == key; });
  return found == forms_.end() ? nullptr : &*found;
}

std::shared_ptr<const std::byte> Forms::find_or_make(const FormKey& key, size_t bytes,
                                                     FunctionRef<void(std::byte*)> make) {
  {
    const std::lock_guard lock(forms_mutex());
    Form* form = find(key);
    if (!form) {
      forms_.push_back({key, nullptr});
      return nullptr;
    }
    if (form->memory) return form->memory;
  }
  std::byte* memory = nullptr;
  try {
    memory = backend_.allocator().allocate(bytes);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory) throw;
    return nullptr;
  }
  const auto release = [&backend = backend_, bytes](const std::byte* data) {
    backend.allocator().deallocate(const_cast<std::byte*>(data), bytes);
  };
  const std::shared_ptr<const std::byte> made(memory, release);
  make(memory);
  const std::lock_guard lock(forms_mutex());
  if (Form* form = find(key)) form->memory = made;
  return made;
}

bool release_forms(Backend& backend) {
  std::vector<std::shared_ptr<const std::byte>> released;  // freed without the lock
  {
    const std::lock_guard lock(forms_mutex());
    for (Forms* forms : all_forms())
      if (&forms->backend_ == &backend)
        for (Forms::Form& form : forms->forms_)
          if (form.memory) released.push_back(std::move(form.memory));
  }
  return !released.empty();
}

}  // namespace tegula
