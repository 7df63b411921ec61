// Lines of the user's program, held beyond the life of the nodes they were recorded with: by a run,
// which may have to say where something went wrong, and by what reports on memory.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "graph/node.h"

namespace tegula {

class HeldLines {
 public:
  HeldLines() = default;
  ~HeldLines();  // on any thread
  HeldLines(const HeldLines&) = delete;
  HeldLines& operator=(const HeldLines&) = delete;

  // Under the graph lock. Does nothing where the line is not known.
  void add(int32_t key, SourceLocation where);
  // "" for a key that was not added.
  std::string describe(int32_t key) const;

  // Lets go of what has ended since. Call under the graph lock.
  static void release_ended();

 private:
  std::vector<std::pair<int32_t, SourceLocation>> lines_;
};

}  // namespace tegula
