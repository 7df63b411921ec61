#include "runtime/host.h"

namespace tegula {

HostHooks& host_hooks() {
  static HostHooks hooks;
  return hooks;
}

}  // namespace tegula
