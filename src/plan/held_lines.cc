#include "plan/held_lines.h"

#include <mutex>

namespace tegula {
namespace {

std::mutex ended_mutex;
std::vector<const void*>& ended_tokens() {
  static auto* tokens = new std::vector<const void*>;  // runs may end after static objects
  return *tokens;
}

}  // namespace

HeldLines::~HeldLines() {
  if (lines_.empty()) return;
  const std::lock_guard lock(ended_mutex);
  for (const auto& [key, where] : lines_) ended_tokens().push_back(where.token);
}

void HeldLines::add(int32_t key, SourceLocation where) {
  if (!where.token || !source_hooks().retain) return;
  source_hooks().retain(where.token);
  lines_.emplace_back(key, where);
}

std::string HeldLines::describe(int32_t key) const {
  for (const auto& [other, where] : lines_)
    if (other == key) return tegula::describe(where);
  return "";
}

void HeldLines::release_ended() {
  std::vector<const void*> tokens;
  {
    const std::lock_guard lock(ended_mutex);
    tokens.swap(ended_tokens());
  }
  for (const void* token : tokens) source_hooks().release(token);
}

}  // namespace tegula
