#include "recorded.h"

#include <algorithm>
#include <sstream>

#include "ops/op.h"
#include "plan/evaluate.h"
#include "plan/snapshot.h"
#include "transform/reverse.h"

namespace tegula::bench {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Dims integers(const std::string& text) {
  std::istringstream in(text);
  Dims dims;
  for (std::string word; std::getline(in, word, ',');)
    if (word.find_first_of("0123456789") != word.npos)
      dims.push_back(std::stoll(word.substr(word.find_first_of("-0123456789"))));
  return dims;
}

const Op& op_named(const std::string& name) {
  for (const Op* op : ops())
    if (op->name == name) return *op;
  fail(ErrorKind::unsupported, "there is no operation '", name, "'");
}

Arg argument(const std::string& word, ArgKind kind, const std::map<std::string, Tensor>& tensors) {
  if (word == "None") return {};
  switch (kind) {
    case ArgKind::tensor:
    case ArgKind::tensors:
      if (const auto found = tensors.find(word); found != tensors.end()) return found->second;
      return scalar(std::stod(word), DType::float32, true);
    case ArgKind::integer:
      return int64_t(std::stoll(word));
    case ArgKind::real:
      return std::stod(word);
    case ArgKind::boolean:
      return word == "True";
    case ArgKind::ints:
      return integers(word);
    case ArgKind::dtype:
      return dtype_named(word);
    case ArgKind::text:
      return word.starts_with('\'') ? word.substr(1, word.size() - 2) : word;
  }
  return {};
}

// Words in the order of the parameters, or as name=value.
Tensors call(const Op& op, std::span<const std::string> words,
             const std::map<std::string, Tensor>& tensors) {
  const std::vector<Parameter>& parameters = tegula::parameters(op);
  std::vector<Arg> arguments;
  size_t positional = 0;
  const auto is_keyword = [](const std::string& word) { return word.find('=') != word.npos; };
  while (positional < words.size() && !is_keyword(words[positional])) ++positional;
  require(positional <= parameters.size(), op.name, ": too many arguments");
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    std::string word = i < positional ? words[i] : p.default_text;
    for (const std::string& given : words.subspan(positional))
      if (given.starts_with(p.name + '=')) word = given.substr(p.name.size() + 1);
    require(!word.empty(), op.name, ": argument '", p.name, "' is missing");
    arguments.push_back(argument(word, p.kind, tensors));
  }
  return op.call(Args(arguments));
}

}  // namespace

Recorded::Recorded(std::map<std::string, Tensor> leaves, const std::vector<std::string>& lines,
                   const std::vector<std::string>& outputs)
    : device_(find_backend("cpu")), tensors_(std::move(leaves)) {
  for (const std::string& line : lines) take_line(line);
  plan(outputs);
}

Recorded::~Recorded() {
  if (arena_) device_.deallocate(arena_, size_t(plan_->arena_bytes));
}

void Recorded::take_line(const std::string& line) {
  const std::vector<std::string> words = split(line);
  if (words.empty()) return;
  const auto tensor = [&](const std::string& name) -> Tensor& {
    const auto found = tensors_.find(name);
    require(found != tensors_.end(), "there is no tensor '", name, "'");
    return found->second;
  };
  if (words[0] == "parameters" || words[0] == "evaluate") {
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[0] == "parameters") tensor(words[i]).set_requires_grad(true);
      else evaluate(tensor(words[i]));
    }
    return;
  }
  const auto equals = size_t(std::find(words.begin(), words.end(), "=") - words.begin());
  require(equals + 1 < words.size(), "results = operation arguments expected, got '", line, "'");
  const std::span<const std::string> rest = std::span(words).subspan(equals + 2);
  Tensors results;
  if (words[equals + 1] == "gradients") {
    require(rest.size() > 2, "gradients: OUTPUT SEED INPUTS... expected, got '", line, "'");
    Tensors inputs;
    for (const std::string& name : rest.subspan(2)) inputs.push_back(tensor(name));
    const Tensor seed = rest[1] == "-" ? Tensor() : tensor(rest[1]);
    results = gradients({tensor(rest[0])}, {seed}, inputs, {});
  } else {
    results = call(op_named(words[equals + 1]), rest, tensors_);
  }
  for (size_t i = 0; i < equals; ++i) tensors_.insert_or_assign(words[i], results.at(i));
}

void Recorded::plan(const std::vector<std::string>& outputs) {
  // What has a live handle is kept; a program would have let go of all but its results.
  Tensors wanted;
  for (const std::string& name : outputs) {
    require(tensors_.contains(name), "there is no tensor '", name, "'");
    wanted.push_back(detach(tensors_.at(name)));
  }
  tensors_.clear();
  // The same values are read again in every run, so none may be overwritten.
  for (const Leaf& leaf : take_snapshot(wanted, device_).leaves)
    if (leaf.output().buffer) leaf.output().buffer->add_export();
  const Snapshot snapshot = take_snapshot(wanted, device_);
  require(!snapshot.nodes.empty(), "there is nothing to compute");
  plan_ = make_plan(snapshot);
  for (const Leaf& leaf : snapshot.leaves) {
    const Output& output = leaf.output();
    leaves_.push_back(output.buffer);
    const int64_t offset = output.layout.offset * int64_t(itemsize(output.dtype));
    leaf_data_.push_back(output.buffer ? output.buffer->data() + offset : nullptr);
    scalars_.push_back(leaf.node->scalar_bits);
  }
  for (const Node* node : snapshot.nodes)
    dynamic_.insert(dynamic_.end(), node->dynamic.begin(), node->dynamic.end());
  for (int64_t bytes : plan_->output_bytes) {
    results_.push_back(make_ref<Buffer>(device_, size_t(bytes)));
    results_.back()->allocate();
  }
  if (plan_->arena_bytes > 0) arena_ = device_.allocate(size_t(plan_->arena_bytes));
  for (Step& step : plan_->steps) {
    for (size_t i = 0; i < step.inputs.size(); ++i)
      step.inputs[i].data = address(step.input_places[i]);
    for (size_t i = 0; i < step.outputs.size(); ++i)
      step.outputs[i].data = address(step.output_places[i]);
  }
  for (const Kept& kept : plan_->kept) {
    const Node* node = snapshot.nodes[size_t(kept.value.node)];
    const Output& output = node->outputs[size_t(kept.value.index)];
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (&wanted[i].node() != node || wanted[i].value().index != uint32_t(kept.value.index))
        continue;
      std::byte* data =
          kept.output >= 0 ? results_[size_t(kept.output)]->data() : leaf_data_[size_t(kept.leaf)];
      data += kept.offset * int64_t(itemsize(output.dtype));
      outputs_[outputs[i]] = View{data, output.dtype, output.shape, kept.strides};
    }
  }
}

std::byte* Recorded::address(const Place& place) {
  if (place.source == Place::none) return nullptr;  // an output that nobody reads
  const auto index = size_t(place.index);
  std::byte* base = place.source == Place::leaf     ? leaf_data_[index]
                    : place.source == Place::scalar ? reinterpret_cast<std::byte*>(&scalars_[index])
                    : place.source == Place::output ? results_[index]->data()
                                                    : arena_;
  base += place.offset;
  for (const auto& [word, multiplier] : place.dynamic) base += dynamic_[size_t(word)] * multiplier;
  return base;
}

std::span<const int64_t> Recorded::dynamic(const Step& step) const {
  return std::span(dynamic_).subspan(size_t(step.dynamic_begin), size_t(step.dynamic_count));
}

}  // namespace tegula::bench
