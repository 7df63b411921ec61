// Starting the engine's own threads.
#pragma once

#include <functional>
#include <thread>

namespace tegula {

// A thread that leaves every signal to the program's own threads, so that Ctrl-C reaches the one
// that waits for it. `name` has at most 15 characters. Throws std::system_error.
std::thread start_thread(const char* name, std::function<void()> main);

}  // namespace tegula
