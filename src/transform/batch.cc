#include "transform/batch.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "graph/custom.h"
#include "graph/effects.h"
#include "ops/batching.h"
#include "transform/forward.h"
#include "transform/reverse.h"

namespace tegula {
namespace {

// ---- the primitives of named axes ------------------------------------------------------------

// attrs: {axis}.
const Primitive kAxisIndex = {
    .name = "axis_index",
    .kind = Kind::opaque,
    .infer = [](const InferContext&, OutputSpecs& out) { out.push_back({DType::int64, {}}); },
};

// attrs: {axis, size}.
const Primitive kAllGather = {
    .name = "all_gather",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape{c.attrs[1]};
          shape.append(c.shape(0).begin(), c.shape(0).end());
          checked_numel(shape, "all_gather");
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          const int64_t axis = c.attrs()[0];
          const Tensor all = sum(all_gather(c.grad(), axis, c.attrs()[1]), {0}, false);
          c.give(0, squeeze(take(all, reshape(axis_index(axis), {1}), 0), {0}));
        },
};

bool names_axis(const Node& node, int64_t axis) {
  return axis && (node.primitive == &kAxisIndex || node.primitive == &kAllGather) &&
         node.attrs[0] == axis;
}

// The rules of an operation, for a batch of calls of it.
class BatchedRules : public CustomRules {
 public:
  BatchedRules(const Node& node, const std::vector<Batched>& inputs, int64_t size, int64_t axis)
      : rules_(node.rules), size_(size), axis_(axis) {
    for (size_t i = node.outputs.size(); i < inputs.size(); ++i)
      has_batch_.push_back(inputs[i].has_batch);
  }

  uint32_t vjp_uses() const override { return rules_->vjp_uses(); }
  bool has_vjp() const override { return rules_->has_vjp(); }
  bool has_jvp() const override { return rules_->has_jvp(); }
  bool has_batch() const override { return false; }
  Tensors vjp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
              std::span<const Tensor> upstream) override;
  Tensors jvp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
              std::span<const Tensor> tangents) override;
  Tensors batch(std::span<const Tensor>, std::span<const int64_t>, int64_t) override { return {}; }

 private:
  using Given = std::vector<std::vector<Batched>>;
  using Rule = std::function<Tensors(const std::vector<Tensors>&)>;
  // What a rule of one call gives for all.
  std::vector<Batched> many(const Given& given, const Rule& rule) const;
  std::vector<Batched> inputs_of(std::span<const Tensor> values) const {
    std::vector<Batched> result;
    for (size_t i = 0; i < values.size(); ++i) result.push_back({values[i], has_batch_[i]});
    return result;
  }
  static std::vector<Batched> all(std::span<const Tensor> values) {
    std::vector<Batched> result;
    for (const Tensor& x : values) result.push_back({x, true});
    return result;
  }

  Ref<CustomRules> rules_;
  Wanted has_batch_;
  int64_t size_, axis_;
};

// ---- one call --------------------------------------------------------------------------------

class Batcher {
 public:
  Batcher(int64_t size, int64_t axis) : size_(size), axis_(axis) {}

  // dynamic: the node's own run-time words, or those it has in a call of its body.
  std::vector<Batched> call(const Node& node, const std::vector<Batched>& inputs,
                            std::span<const int64_t> dynamic) {
    const DeviceScope scope(*node.device);
    const GradMode mode(grad_enabled() && !node.without_grad);
    if (names_axis(node, axis_)) return {along_axis(node, inputs)};
    const bool any =
        std::any_of(inputs.begin(), inputs.end(), [](const Batched& x) { return x.has_batch; });
    if (!any) return flagged(once(node, inputs, dynamic), false);
    if (node.primitive == &after_primitive())
      return flagged(once(node, inputs, dynamic), inputs[0].has_batch);
    if (node.primitive == &with_rules_primitive()) return flagged(ruled(node, inputs), true);
    if (node.host && read_attrs<HostCallAttrs>(node.attrs).ordered)
      return call_in_order(node, inputs);
    return flagged(size_ ? many(node, inputs, dynamic) : nothing(node), true);
  }

  // Every example draws.
  Tensor draw(const Node& node, Generator& generator) {
    Shape shape{size_};
    shape.append(node.outputs[0].shape.begin(), node.outputs[0].shape.end());
    return random_tensor(generator, RandomKind(node.attrs[0]), shape, node.outputs[0].dtype);
  }

 private:
  static std::vector<Batched> flagged(const Tensors& values, bool has_batch) {
    std::vector<Batched> result;
    for (const Tensor& x : values) result.push_back({x, has_batch});
    return result;
  }
  static Tensors values_of(const std::vector<Batched>& inputs) {
    Tensors values;
    for (const Batched& x : inputs) values.push_back(x.value);
    return values;
  }
  static Wanted batches_of(const std::vector<Batched>& inputs) {
    Wanted result;
    for (const Batched& x : inputs) result.push_back(x.has_batch);
    return result;
  }

  Tensors once(const Node& node, const std::vector<Batched>& inputs,
               std::span<const int64_t> dynamic) {
    return record_again(node, values_of(inputs), dynamic);
  }

  Batched along_axis(const Node& node, const std::vector<Batched>& inputs) {
    if (node.primitive == &kAxisIndex) return {iota(size_), true};
    return {with_batch(inputs[0], size_), false};
  }

  Tensors nothing(const Node& node) {
    Tensors result;
    for (const Output& output : node.outputs) {
      Shape shape{0};
      shape.append(output.shape.begin(), output.shape.end());
      result.push_back(zeros(shape, output.dtype));
    }
    return result;
  }

  Tensors many(const Node& node, const std::vector<Batched>& inputs,
               std::span<const int64_t> dynamic) {
    const Primitive& primitive = *node.primitive;
    const Tensors values = values_of(inputs);
    const Wanted has_batch = batches_of(inputs);
    BatchContext context(node, dynamic, values, has_batch, size_, axis_);
    if (node.rules && node.rules->has_batch()) return by_rule(node, values, has_batch);
    if (primitive.batch) return primitive.batch(context);
    if (primitive.kind == Kind::elementwise) return elementwise(context);
    if (primitive.kind == Kind::reduction) return reduction(context);
    if (primitive.kind == Kind::view) return batch_in_place(context);  // shows all of x as it is
    if (primitive.expand)
      if (const Tensors results = expanded(node, inputs); results.size() == node.outputs.size())
        return results;
    return batch_in_loop(context);
  }

  Tensors by_rule(const Node& node, const Tensors& values, const Wanted& has_batch) {
    std::vector<int64_t> axes;
    for (const bool has : has_batch) axes.push_back(has ? 0 : -1);
    return node.rules->batch(values, axes, size_);
  }

  // Values that have derivatives of their own have those of the whole batch.
  Tensors ruled(const Node& node, const std::vector<Batched>& inputs) {
    const size_t count = node.outputs.size();
    Tensors values, operands;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (i < count) values.push_back(with_batch(inputs[i], size_));
      else operands.push_back(inputs[i].value);
    }
    const Ref<CustomRules> rules(new BatchedRules(node, inputs, size_, axis_));
    return with_rules(values, operands, rules);
  }

  static Tensors elementwise(BatchContext& c) {
    const size_t rank = c.output_shape().size();
    Tensors inputs;
    for (size_t i = 0; i < c.input_count(); ++i) {
      Tensor x = c.input(i);
      if (c.has_batch(i) && c.rank(i) < rank) {
        Shape aligned{c.size()};
        aligned.resize(1 + rank - c.rank(i), 1);
        aligned.append(c.shape(i).begin(), c.shape(i).end());
        x = reshape(x, aligned);
      }
      inputs.push_back(std::move(x));
    }
    return c.again(inputs);
  }

  static Tensors reduction(BatchContext& c) {
    Attrs axes = c.attrs();
    for (int64_t& axis : axes) ++axis;
    return c.again({&c.input(0), 1}, axes);
  }

  Tensors expanded(const Node& node, const std::vector<Batched>& inputs) {
    BatchedLeaves leaves;
    Graph graph;
    {
      Trace trace;
      Tensors given;
      for (size_t i = 0; i < inputs.size(); ++i) {
        const Output& like = node.inputs[i].node->outputs[node.inputs[i].index];
        given.emplace_back(make_leaf(like.dtype, like.shape, *node.device));
        leaves[&given.back().node()] = inputs[i];
      }
      std::vector<Value> wanted;
      for (const Tensor& x : node.primitive->expand(given, node.attrs)) wanted.push_back(x.value());
      trace.end();
      graph = trace.graph(std::move(wanted));
    }
    Tensors result;
    for (const Batched& x : record_batched(graph, leaves, size_, axis_))
      result.push_back(with_batch(x, size_));
    return result;
  }

  // An ordered effect happens for each example, in their order; its last output is its token.
  std::vector<Batched> call_in_order(const Node& node, const std::vector<Batched>& inputs) {
    const Tensors values = values_of(inputs);
    const Wanted has_batch = batches_of(inputs);
    const BatchContext context(node, node.dynamic, values, has_batch, size_, axis_);
    std::vector<Tensors> parts(node.outputs.size() - 1);
    Tensor token = zeros({0}, DType::bool_);
    for (int64_t b = 0; b < size_; ++b) {
      const Tensors outputs = record_again(node, context.example(b), node.dynamic);
      for (size_t k = 0; k < parts.size(); ++k) parts[k].push_back(outputs[k]);
      token = outputs.back();
    }
    std::vector<Batched> result;
    const Tensors none = size_ ? Tensors() : nothing(node);
    for (size_t k = 0; k < parts.size(); ++k)
      result.push_back({size_ ? stack(parts[k], 0) : none[k], true});
    result.push_back({token, false});
    return result;
  }

  int64_t size_;
  int64_t axis_;
};

// ---- the rules of a batch --------------------------------------------------------------------

std::vector<Batched> BatchedRules::many(const Given& given, const Rule& rule) const {
  std::optional<Trace> trace(std::in_place);
  BatchedLeaves leaves;
  std::vector<Tensors> single;
  for (const std::vector<Batched>& group : given) {
    Tensors& like = single.emplace_back();
    for (const Batched& x : group) {
      if (!x.value) {
        like.emplace_back();
        continue;
      }
      const Shape& shape = x.value.shape();
      const Shape one(shape.begin() + (x.has_batch ? 1 : 0), shape.end());
      like.emplace_back(make_leaf(x.value.dtype(), one, x.value.device()));
      like.back().output().requires_grad = x.value.requires_grad();
      leaves[&like.back().node()] = x;
    }
  }
  const Tensors found = rule(single);
  std::vector<Value> wanted;
  for (const Tensor& x : found)
    if (x) wanted.push_back(x.value());
  trace->end();
  const Graph graph = trace->graph(std::move(wanted));
  const std::vector<Batched> values = record_batched(graph, leaves, size_, axis_);
  std::vector<Batched> result;
  size_t n = 0;
  for (const Tensor& x : found) result.push_back(x ? values[n++] : Batched());
  return result;
}

Tensors BatchedRules::vjp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                          std::span<const Tensor> upstream) {
  const auto found = many({inputs_of(inputs), all(outputs), all(upstream)},
                          [&](const auto& one) { return rules_->vjp(one[0], one[1], one[2]); });
  Tensors gradients;
  for (size_t i = 0; i < found.size(); ++i) {
    Tensor g = found[i].value;
    if (g && has_batch_[i]) g = with_batch(found[i], size_);
    else if (g) g = sum(with_batch(found[i], size_), {0}, false);  // of what all examples share
    gradients.push_back(g);
  }
  return gradients;
}

Tensors BatchedRules::jvp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                          std::span<const Tensor> tangents) {
  const auto found = many({inputs_of(inputs), all(outputs), inputs_of(tangents)},
                          [&](const auto& one) { return rules_->jvp(one[0], one[1], one[2]); });
  Tensors result;
  for (const Batched& x : found) result.push_back(x.value ? with_batch(x, size_) : Tensor());
  return result;
}

// ---- graphs ----------------------------------------------------------------------------------

// What has been recorded, by the node of the graph that it stands for.
class Made {
 public:
  explicit Made(const BatchedLeaves& leaves) {
    for (const auto& [leaf, value] : leaves) made_[leaf] = {value};
  }
  void add(const Node& node, std::vector<Batched> outputs) { made_[&node] = std::move(outputs); }
  std::vector<Batched> values(std::span<const Value> wanted) const {
    std::vector<Batched> result;
    for (const Value& v : wanted) {
      const auto found = made_.find(v.node.get());
      result.push_back(found == made_.end() ? Batched{Tensor(v), false} : found->second[v.index]);
    }
    return result;
  }
  std::vector<Batched> inputs_of(const Node& node) const { return values(node.inputs); }

 private:
  std::unordered_map<const Node*, std::vector<Batched>> made_;
};

// Seeds or tangents that are known when the batch is recorded.
class Directions {
 public:
  explicit Directions(const Tensors& batched) {
    for (const Tensor& x : batched) {
      if (!x) {
        single.emplace_back();
        continue;
      }
      size = x.shape()[0];
      single.emplace_back(
          make_leaf(x.dtype(), Shape(x.shape().begin() + 1, x.shape().end()), x.device()));
      leaves[&single.back().node()] = {x, true};
    }
  }

  Tensors single;  // like one of the directions
  BatchedLeaves leaves;
  int64_t size = 0;
};

template <class Record>
Tensors batched_derivative(const Tensors& directions, bool create_graph, Record record) {
  std::optional<Trace> trace(std::in_place);
  Directions along(directions);
  Tensors found = record(along.single);
  std::vector<Value> wanted;
  for (const Tensor& x : found)
    if (x) wanted.push_back(x.value());
  trace->end();
  const Graph graph = trace->graph(std::move(wanted));
  const GradMode mode(create_graph);
  const std::vector<Batched> values = record_batched(graph, along.leaves, along.size, 0);
  size_t n = 0;
  for (Tensor& x : found)
    if (x) x = with_batch(values[n++], along.size);
  along.single.clear();
  return found;
}

}  // namespace

std::vector<Batched> record_batched(const Graph& graph, const BatchedLeaves& leaves, int64_t size,
                                    int64_t axis) {
  // What the graph reads from outside may be pending without a handle, and is then not kept.
  const EvaluationPause pause;
  Made made(leaves);
  std::unordered_map<const Node*, std::pair<Generator*, uint64_t>> draws;
  for (const Graph::Draw& draw : graph.draws) {
    const Graph::Stream& stream = graph.streams[size_t(draw.generator)];
    Generator* generator = stream.generator ? stream.generator.get() : &default_generator();
    draws[draw.node.get()] = {generator, draw.offset};
  }
  Batcher batcher(size, axis);
  std::map<std::pair<Generator*, uint64_t>, Tensor> drawn;  // by what drew and where
  for (const Ref<Node>& node : graph.nodes) {
    const auto draw = draws.find(node.get());
    if (draw == draws.end()) {
      made.add(*node, batcher.call(*node, made.inputs_of(*node), node->dynamic));
      continue;
    }
    Tensor& numbers = drawn[draw->second];
    numbers = numbers ? drawn_again(numbers) : batcher.draw(*node, *draw->second.first);
    made.add(*node, {{numbers, true}});
  }
  return made.values(graph.outputs);
}

std::vector<Batched> record_batched(const Body& body, std::span<const Batched> operands,
                                    std::span<const int64_t> dynamic, int64_t size, int64_t axis) {
  BatchedLeaves leaves;
  for (size_t i = 0; i < operands.size(); ++i)
    if (const Node* node = body.operands[i].node.get()) leaves[node] = operands[i];
  Made made(leaves);
  Batcher batcher(size, axis);
  for (const Ref<Node>& node : body.graph.nodes) {
    const size_t words = node->dynamic.size();
    made.add(*node, batcher.call(*node, made.inputs_of(*node), dynamic.first(words)));
    dynamic = dynamic.subspan(words);
  }
  return made.values(body.graph.outputs);
}

Tensor with_batch(const Batched& x, int64_t size) {
  if (x.has_batch) return x.value;
  Shape wide{size};
  wide.append(x.value.shape().begin(), x.value.shape().end());
  return broadcast_to(x.value, wide);
}

Tensors batched_gradients(const Tensors& outputs, const Tensors& seeds, const Tensors& inputs,
                          bool create_graph) {
  return batched_derivative(seeds, create_graph, [&](const Tensors& along) {
    return gradients(outputs, along, inputs, {.retain_graph = true, .create_graph = create_graph});
  });
}

Tensors batched_jvp(const Tensors& outputs, const Tensors& inputs, const Tensors& tangents,
                    bool create_graph) {
  return batched_derivative(tangents, create_graph, [&](const Tensors& along) {
    return jvp(outputs, inputs, along, create_graph);
  });
}

Tensor axis_index(int64_t axis) { return record(kAxisIndex, std::span<const Tensor>(), {axis}); }

Tensor all_gather(const Tensor& x, int64_t axis, int64_t size) {
  return record(kAllGather, {x}, {axis, size});
}

}  // namespace tegula
