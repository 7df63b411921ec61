// What the author of an operation of his own says of its derivatives and of batches of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ref.h"

namespace tegula {

class Tensor;

// The rules of one call. They record ordinary operations, under the graph lock; what they give has
// been checked. A rule that is missing throws an error that says how to add it.
class CustomRules : public RefCounted<CustomRules> {
 public:
  virtual ~CustomRules() = default;

  // The values that vjp reads, in the bits of Uses (graph/primitive.h): a tape keeps these alone.
  // The same for as long as the call lives.
  virtual uint32_t vjp_uses() const = 0;
  virtual bool has_vjp() const = 0;
  virtual bool has_jvp() const = 0;
  virtual bool has_batch() const = 0;
  // Gradients of the inputs; an empty handle for none. inputs, outputs: empty where vjp_uses() does
  // not have them. upstream: gradients of the outputs, or empty.
  virtual std::vector<Tensor> vjp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                                  std::span<const Tensor> upstream) = 0;
  // Tangents of the outputs, empty for none. tangents: of the inputs, likewise.
  virtual std::vector<Tensor> jvp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                                  std::span<const Tensor> tangents) = 0;
  // The outputs of `size` calls at once, along their first axis. axes: that along which each input
  // holds those of the calls; -1 where all calls have the same.
  virtual std::vector<Tensor> batch(std::span<const Tensor> inputs, std::span<const int64_t> axes,
                                    int64_t size) = 0;
};

}  // namespace tegula
