#include "plan/check_values.h"

#include <atomic>
#include <cmath>

#include "base/half.h"
#include "graph/primitive.h"

namespace tegula {
namespace {

std::atomic<bool> on{false};
AutoEvaluation before;  // limits while it is off

struct Found {
  bool nan = false, infinity = false;
};

void note(double value, Found& found) {
  found.nan |= std::isnan(value);
  found.infinity |= std::isinf(value);
}

Found look(const View& view) {
  Found found;
  if (!is_inexact(view.dtype) || !view.data || numel(view.shape) == 0) return found;
  dispatch_all(view.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      Dims index(view.shape.size(), 0);
      for (int64_t rest = numel(view.shape); rest > 0; --rest) {
        int64_t offset = 0;
        for (size_t a = 0; a < index.size(); ++a) offset += index[a] * view.strides[a];
        const T value = view.as<T>()[offset];
        if constexpr (requires { value.im; }) {
          note(double(value.re), found);
          note(double(value.im), found);
        } else {
          note(double(value), found);
        }
        for (size_t a = index.size(); a-- > 0;) {
          if (++index[a] < view.shape[a]) break;
          index[a] = 0;
        }
      }
    }
  });
  return found;
}

}  // namespace

bool checking_values() { return on.load(std::memory_order_relaxed); }

void set_checking_values(bool wanted) {
  if (on.exchange(wanted) == wanted) return;
  if (wanted) {
    before = auto_evaluation();
    auto_evaluation().max_nodes = 1;
  } else {
    auto_evaluation() = before;
  }
}

const char* find_bad_value(std::span<const View> operands) {
  bool infinity = false;
  for (const View& operand : operands) {
    const Found found = look(operand);
    if (found.nan) return "NaN";
    infinity |= found.infinity;
  }
  return infinity ? "infinity" : nullptr;
}

}  // namespace tegula
