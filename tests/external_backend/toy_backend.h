// A device that is as simple as one can be: host memory, the reference interpreter for tile
// programs, and a few kernels as one would first write them down.
#pragma once

#include <memory>

#include "runtime/backend.h"

// Bytes that toy devices hold at the moment.
size_t toy_bytes();

std::unique_ptr<tegula::Backend> make_toy_backend();
