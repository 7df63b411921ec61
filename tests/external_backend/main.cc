// Trains a small network on the toy device and on cpu, and compares. Exits with 0 if they agree.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "ops/ops.h"
#include "plan/evaluate.h"
#include "toy_backend.h"
#include "transform/reverse.h"

namespace {

using namespace tegula;

int failures = 0;

void expect(bool holds, const char* what) {
  std::printf("%s: %s\n", holds ? "ok" : "FAILED", what);
  failures += !holds;
}

Tensor numbers(Backend& device, const Shape& shape, float phase) {
  std::vector<float> values(size_t(numel(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(float(i) + phase);
  return from_host(values.data(), DType::float32, shape, device);
}

void append(std::vector<float>& all, const Tensor& x) {
  std::vector<float> values(size_t(x.size()));
  copy_to_host(x, values.data());
  all.insert(all.end(), values.begin(), values.end());
}

// A few steps of gradient descent; the losses and the weights in the end.
std::vector<float> train(Backend& device) {
  const Tensor table = numbers(device, {10, 6}, 0);
  const std::vector<int64_t> chosen = {3, -1, 7, 0, 3};
  const Tensor index = from_host(chosen.data(), DType::int64, {5}, device);
  const Tensor x = take(table, index, 0), target = numbers(device, {5, 4}, 1);
  Tensor w = numbers(device, {6, 8}, 2), v = numbers(device, {8, 4}, 3);
  w.set_requires_grad(true);
  v.set_requires_grad(true);
  std::vector<float> result;
  for (int step = 0; step < 5; ++step) {
    const Tensor y = softmax(matmul(tanh(matmul(x, w)), v), 1);
    const Tensor loss = mean(square(y - target), {0, 1}, false);
    backward(loss, {}, {});
    for (Tensor* weight : {&w, &v}) {
      const GradMode off(false);
      rebind(*weight, *weight - *weight->cell().grad * constant(0.5), "step");
      weight->cell().grad.reset();
    }
    append(result, loss);
  }
  append(result, w);
  append(result, v);
  append(result, permute_dims(slice(x, {1, 0}, {3, 3}, {1, 2}), {1, 0}));
  return result;
}

// Attention, its gradient and a gradient of that. On a device without a kernel for it the
// composite is recorded as what it expands to.
std::vector<float> attend(Backend& device) {
  Tensor x = numbers(device, {2, 3, 4}, 0);
  x.set_requires_grad(true);
  const Tensor y = scaled_dot_product_attention(x, x, numbers(device, {2, 3, 4}, 1), {}, true, 0.5);
  const Tensor loss = mean(square(y), {0, 1, 2}, false);
  const Tensor plain = gradients({loss}, {{}}, {x}, {.retain_graph = true})[0];
  const Tensor first = gradients({loss}, {{}}, {x}, {.create_graph = true})[0];
  const Tensor second = gradients({sum(square(first), {0, 1, 2}, false)}, {{}}, {x}, {})[0];
  std::vector<float> result;
  for (const Tensor& value : {y, first, second, plain}) append(result, value);
  return result;
}

bool agree(const std::vector<float>& expected, const std::vector<float>& found) {
  bool same = expected.size() == found.size();
  for (size_t i = 0; same && i < expected.size(); ++i)
    same = std::abs(expected[i] - found[i]) <= 1e-5f * (1 + std::abs(expected[i]));
  return same;
}

template <class F>
std::string message_of(F&& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

int main() {
  register_cpu_backend();
  register_backend(make_toy_backend());
  install_evaluator();
  Backend &toy = find_backend("toy"), &cpu = find_backend("cpu");

  expect(agree(train(cpu), train(toy)), "the toy device trains as cpu does");
  expect(agree(attend(cpu), attend(toy)), "composites expand where there is no kernel for them");

  const std::string missing =
      message_of([&] { evaluate(sort_with_indices(numbers(toy, {4}, 0), 0, false)[0]); });
  expect(missing.find("'toy' has no kernel for sort") != std::string::npos,
         "a kernel it lacks is named");
  const std::string outside = message_of([&] {
    const int64_t wrong = 10;
    evaluate(take(numbers(toy, {10, 2}, 0), from_host(&wrong, DType::int64, {1}, toy), 0));
  });
  expect(outside.find("index 10 is out of bounds") != std::string::npos,
         "what its kernel throws arrives");

  clear_plan_cache();
  toy.allocator().trim();
  expect(toy.allocator().stats().live_bytes == 0 && toy_bytes() == 0, "its memory comes back");
  return failures == 0 ? 0 : 1;
}
