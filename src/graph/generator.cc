#include "graph/generator.h"

namespace tegula {
namespace {

thread_local Generator* scoped_generator = nullptr;

}  // namespace

Generator& default_generator() {
  static const Ref<Generator> generator = make_ref<Generator>();
  return scoped_generator ? *scoped_generator : *generator;
}
GeneratorScope::GeneratorScope(Generator& generator)
    : before_(std::exchange(scoped_generator, &generator)) {}
GeneratorScope::~GeneratorScope() { scoped_generator = before_; }

}  // namespace tegula
