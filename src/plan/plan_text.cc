// A plan as text.
#include <algorithm>
#include <sstream>

#include "plan/control.h"
#include "plan/plan.h"

namespace tegula {
namespace {

// Whether the step's own result lies where one of its epilogue's outputs will.
bool result_lies_inside(const Step& step) {
  const auto& places = step.output_places;
  return step.program && step.kind != "tile" &&
         std::any_of(places.begin() + 1, places.end(), [&](const Place& other) {
           return other.source == places[0].source && other.index == places[0].index &&
                  other.offset == places[0].offset;
         });
}

}  // namespace

std::string operations(const Step& step) {
  std::string text(step.kind);
  if (!step.label.empty()) text += " " + std::string(step.label);
  if (step.program)
    for (const TileInstr& instr : step.program->instrs)
      if (instr.op != TileOp::load && instr.op != TileOp::store)
        text += " " + std::string(name(instr.op));
  return text == "tile" ? "tile copy" : text;
}

std::string operand_text(const View& view, const Place& place) {
  constexpr const char* kSources[] = {"leaf", "scalar", "out", "arena", "none"};
  std::ostringstream out;
  out << kSources[place.source];
  if (place.source < Place::arena) out << place.index;
  if (place.offset) out << "+" << place.offset;
  out << ":" << view.dtype << view.shape;
  const Shape& shape = view.shape;
  if (shape.size() >= 3 && !is_contiguous(shape, view.strides) &&
      view.strides == channels_last_strides(shape))
    out << " channels-last";
  return out.str();
}

std::string Plan::to_string(bool programs) const {
  std::ostringstream out;
  out << "plan on " << device->name() << ": " << steps.size() << " steps, arena " << arena_bytes
      << " bytes, " << output_bytes.size() << " outputs, "
      << std::count_if(donor.begin(), donor.end(), [](int32_t d) { return d >= 0; })
      << " in place\n";
  for (size_t s = 0; s < steps.size(); ++s) {
    const Step& step = steps[s];
    out << "  " << s << " " << operations(step) << " (";
    for (size_t i = 0; i < step.inputs.size(); ++i)
      out << (i ? ", " : "") << operand_text(step.inputs[i], step.input_places[i]);
    out << ") -> (";
    const char* separator = "";
    for (size_t i = result_lies_inside(step) ? 1 : 0; i < step.outputs.size(); ++i) {
      out << separator << operand_text(step.outputs[i], step.output_places[i]);
      separator = ", ";
    }
    out << ")\n";
    if (programs && step.program) out << print(*step.program);
    if (step.control) out << step.control->to_string(programs);
  }
  return out.str();
}

}  // namespace tegula
