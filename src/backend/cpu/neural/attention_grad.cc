// The gradient of attention. Weights are computed again from the log-sum-exp of their rows: with
// P = 2^(S - logsum), dP = dY V^T and D the row sums of dY * Y,
//   dV = P^T dY,   dS = P * (dP - D),   dQ = scale dS K,   dK = scale dS^T Q
// (Dao, FlashAttention-2, 2023). A task is a head of keys, or a part of its keys where there are
// few: then each part has its own sum for dQ, and these are added in order.
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/neural/attention.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

template <class T>
class Backward {
 public:
  Backward(const AttentionCall& call, const KernelArgs& args)
      : call_(call),
        out_(args.inputs[3]),
        logsum_(args.inputs[4]),
        upstream_(args.inputs[5]),
        outputs_(args.outputs) {}

  void run() {
    constexpr int64_t kTasks = 8;
    const int64_t heads = call_.batch() * call_.kv_heads();
    const int64_t blocks = ceil_div(call_.keys(), kKeyBlock);
    const int64_t parts = std::clamp<int64_t>(ceil_div(kTasks, std::max<int64_t>(1, heads)), 1,
                                              std::max<int64_t>(1, blocks));
    const int64_t length = ceil_div(blocks, parts) * kKeyBlock;
    const bool direct = outputs_[0].dtype == kNative<T>;
    // Sums for dQ, [part][n][h][row][e], and for dK and dV where their dtype is narrower.
    const int64_t query_count = numel(call_.query.shape), key_count = numel(call_.key.shape);
    const int64_t value_count = numel(call_.value.shape);
    const bool shared = !direct || parts > 1;
    const Scratch<T> queries(ScratchUse::partials, shared ? parts * query_count : 0);
    const Scratch<T> others(ScratchUse::shared, direct ? 0 : key_count + value_count);
    dquery_ = shared ? queries.get() : outputs_[0].as<T>();
    dkey_ = direct ? outputs_[1].as<T>() : others.get();
    dvalue_ = direct ? outputs_[2].as<T>() : others.get() + key_count;
    const auto run_task = [&](int64_t task) {
      const int64_t head = task / parts, part = task % parts, begin = part * length;
      run_part(head / call_.kv_heads(), head % call_.kv_heads(), begin,
               std::min(call_.keys(), begin + length), dquery_ + part * query_count);
    };
    if (call_.work() >= kAttentionParallelWork) {
      parallel_for(heads * parts, run_task);
    } else {
      for (int64_t task = 0; task < heads * parts; ++task) run_task(task);
    }
    for (int64_t part = 1; part < parts; ++part)
      loops_.add(dquery_, dquery_ + part * query_count, query_count, T(1));
    if (!shared) return;
    kernels_.round(dquery_, query_count, outputs_[0].dtype, outputs_[0].data);
    if (direct) return;
    kernels_.round(dkey_, key_count, outputs_[1].dtype, outputs_[1].data);
    kernels_.round(dvalue_, value_count, outputs_[2].dtype, outputs_[2].data);
  }

 private:
  // What the query blocks of one head need, read many times.
  struct Head {
    T *packed_query, *packed_upstream;  // a block of lanes after another, padded to kQueryBlock
    Rows<T> query, upstream;
    T *logsum, *delta;
  };

  // Keys [begin, end) of key head g, for all the query heads that share it.
  void run_part(int64_t n, int64_t g, int64_t begin, int64_t end, T* dquery) const {
    const int64_t rows = call_.rows(), size = call_.size(), out_size = call_.out_size();
    const int64_t blocks = ceil_div(rows, kQueryBlock);
    const int64_t padded = blocks * padded_lanes(kernels_, kQueryBlock);
    const int64_t query_packed = blocks * packed_lanes(kernels_, kQueryBlock, size);
    const int64_t upstream_packed = blocks * packed_lanes(kernels_, kQueryBlock, out_size);
    const int64_t both = size + out_size;
    const Scratch<T> scratch(ScratchUse::composite,
                             query_packed + upstream_packed + 2 * padded +
                                 rows * (both + out_size) +
                                 kKeyBlock * (both + 3 * padded_lanes(kernels_, kQueryBlock)));
    T* next = scratch;
    const auto take = [&](int64_t count) { return std::exchange(next, next + count); };
    Head head;
    head.packed_query = take(query_packed);
    head.packed_upstream = take(upstream_packed);
    head.logsum = take(padded);
    head.delta = take(padded);
    T *const query_space = take(rows * size), *const upstream_space = take(rows * out_size);
    T* const out_space = take(rows * out_size);
    T* const block_space = next;

    const int64_t kv = n * call_.kv_heads() + g;
    T* const dkey = dkey_ + kv * call_.keys() * size;
    T* const dvalue = dvalue_ + kv * call_.keys() * out_size;
    std::fill_n(dkey + begin * size, std::max<int64_t>(0, end - begin) * size, T(0));
    std::fill_n(dvalue + begin * out_size, std::max<int64_t>(0, end - begin) * out_size, T(0));
    for (int64_t i = 0; i < call_.heads_per_kv(); ++i) {
      const int64_t h = g * call_.heads_per_kv() + i;
      const Matrix query = head_matrix(call_.query, n, h);
      const Matrix upstream = head_matrix(upstream_, n, h);
      head.query = native_rows(kernels_, query, 0, rows, size, query_space);
      head.upstream = native_rows(kernels_, upstream, 0, rows, out_size, upstream_space);
      for (int64_t first = 0; first < rows; first += kQueryBlock)
        prepare_block(head, query, upstream, first);
      row_statistics(head, n, h, out_space);
      T* const to = dquery + (n * call_.heads() + h) * rows * size;
      std::fill_n(to, rows * size, T(0));
      for (int64_t s = begin; s < end; s += kKeyBlock)
        run_key_block(head, n, h, g, s, std::min(kKeyBlock, end - s), to, dkey, dvalue,
                      block_space);
      loops_.scale(to, rows * size, T(call_.scale));
    }
    loops_.scale(dkey + begin * size, std::max<int64_t>(0, end - begin) * size, T(call_.scale));
  }

  void prepare_block(const Head& head, const Matrix& query, const Matrix& upstream,
                     int64_t first) const {
    const int64_t lanes = std::min(kQueryBlock, call_.rows() - first);
    T* const packed = packed_query(head, first);
    pack_lanes(kernels_, query, first, lanes, call_.size(), packed);
    loops_.scale(packed, packed_lanes(kernels_, lanes, call_.size()), T(call_.scale * kLog2E));
    pack_lanes(kernels_, upstream, first, lanes, call_.out_size(), packed_upstream(head, first));
  }
  // The packed lanes of the query block that starts at row `first`.
  T* packed_query(const Head& head, int64_t first) const {
    return head.packed_query +
           first / kQueryBlock * packed_lanes(kernels_, kQueryBlock, call_.size());
  }
  T* packed_upstream(const Head& head, int64_t first) const {
    return head.packed_upstream +
           first / kQueryBlock * packed_lanes(kernels_, kQueryBlock, call_.out_size());
  }

  void row_statistics(const Head& head, int64_t n, int64_t h, T* space) const {
    const int64_t rows = call_.rows(), size = call_.out_size();
    const int64_t width = padded_lanes(kernels_, kQueryBlock);
    const Rows<T> out = native_rows(kernels_, head_matrix(out_, n, h), 0, rows, size, space);
    const T* logsum = logsum_.as<T>() + n * logsum_.strides[0] + h * logsum_.strides[1];
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = i / kQueryBlock * width + i % kQueryBlock;
      head.logsum[at] = logsum[i * logsum_.strides[2]];
      head.delta[at] = loops_.dot(out.at(i), head.upstream.at(i), size);
    }
    const int64_t rest = rows % kQueryBlock, last = rows / kQueryBlock * width + rest;
    if (rest > 0) {
      std::fill_n(head.logsum + last, width - rest, T(0));
      std::fill_n(head.delta + last, width - rest, T(0));
    }
  }

  void run_key_block(const Head& head, int64_t n, int64_t h, int64_t g, int64_t s, int64_t count,
                     T* dquery, T* dkey, T* dvalue, T* space) const {
    const int64_t size = call_.size(), out_size = call_.out_size();
    const int64_t block = kKeyBlock * padded_lanes(kernels_, kQueryBlock);
    T *const weights = space, *const grads = space + block, *const spare = space + 2 * block;
    T *const key_space = space + 3 * block, *const value_space = key_space + kKeyBlock * size;
    const Rows<T> k =
        native_rows(kernels_, head_matrix(call_.key, n, g), s, count, size, key_space);
    const Rows<T> v =
        native_rows(kernels_, head_matrix(call_.value, n, g), s, count, out_size, value_space);
    const int64_t start = call_.causal ? s / kQueryBlock * kQueryBlock : 0;
    for (int64_t first = start; first < call_.rows(); first += kQueryBlock) {
      const int64_t lanes = std::min(kQueryBlock, call_.rows() - first);
      const int64_t width = padded_lanes(kernels_, lanes);
      const int64_t at = first / kQueryBlock * padded_lanes(kernels_, kQueryBlock);
      const int64_t keys = std::min(count, call_.key_limit(first + lanes) - s);
      if (keys <= 0) continue;
      multiply_lanes(kernels_, keys, width, size, k, packed_query(head, first), weights);
      mask_scores(call_, n, h, first, lanes, s, keys, width, weights, spare);
      loops_.weights(weights, keys, width, head.logsum + at);
      multiply_lanes(kernels_, keys, width, out_size, v, packed_upstream(head, first), grads);
      loops_.score_grads(grads, weights, keys, width, head.delta + at);
      const Rows<T> upstream{head.upstream.at(first), head.upstream.stride};
      const Rows<T> query{head.query.at(first), head.query.stride};
      multiply_rows(kernels_, keys, out_size, lanes, {weights, width, 1}, upstream,
                    dvalue + s * out_size, true);
      multiply_rows(kernels_, keys, size, lanes, {grads, width, 1}, query, dkey + s * size, true);
      multiply_rows(kernels_, lanes, size, keys, {grads, 1, width}, k, dquery + first * size, true);
    }
  }

  const GemmKernels<T>& kernels_ = gemm_kernels<T>();
  const AttentionLoops<T>& loops_ = attention_loops<T>();
  const AttentionCall& call_;
  const View &out_, &logsum_, &upstream_;
  std::span<const View> outputs_;
  T *dquery_ = nullptr, *dkey_ = nullptr, *dvalue_ = nullptr;
};

}  // namespace

void run_attention_grad(const KernelArgs& args) {
  constexpr size_t kMaskAt = 6;
  const AttentionCall call(args, kMaskAt);
  if (call.query.dtype == DType::float64) {
    Backward<double>(call, args).run();
  } else {
    Backward<float>(call, args).run();
  }
}

}  // namespace tegula::cpu
