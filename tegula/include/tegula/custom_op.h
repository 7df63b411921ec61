/* Operations of your own for Tegula, written in C or C++ and compiled apart from it.
 *
 * This header is all that such a library needs. It is plain C, so any compiler of the platform will
 * do, and it does not change within one TEGULA_CUSTOM_OP_ABI. The library exports one function,
 * tegula_custom_ops, which names the operations in it; tg.load_custom_ops("libmine.so") loads it.
 *
 *   static int32_t twice_shape(const tegula_call* call, tegula_result* results) {
 *     if (call->inputs[0].dtype != TEGULA_FLOAT32)
 *       return tegula_fail(call, TEGULA_TYPE_ERROR, "x must be float32");
 *     return tegula_like(&call->inputs[0], &results[0]);
 *   }
 *   static int32_t twice(const tegula_call* call) {
 *     const float* x = (const float*)call->inputs[0].data;
 *     float* y = (float*)call->outputs[0].data;
 *     for (int64_t i = 0; i < tegula_size(&call->outputs[0]); ++i) y[i] = 2 * x[i];
 *     return 0;
 *   }
 *   static const tegula_operation operations[] = {
 *       {"twice", "x: Tensor", "2 * x.", 1, TEGULA_PURE | TEGULA_DENSE_INPUTS, twice_shape, twice},
 *   };
 *   TEGULA_CUSTOM_OPS("mine", operations)
 *
 * A shape rule runs when an operation is recorded, on the thread that calls it from Python. A
 * kernel runs when values are computed, on any thread, several calls of it perhaps at once, without
 * Python's lock: it must not call Python, and what it keeps between calls it must guard. Neither
 * may let a C++ exception out; one that gets out nevertheless is an error of the operation.
 */
#ifndef TEGULA_CUSTOM_OP_H_
#define TEGULA_CUSTOM_OP_H_

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of everything in this file. A library is loaded by a Tegula of the same number. */
#define TEGULA_CUSTOM_OP_ABI 1

#define TEGULA_MAX_RANK 32

/* Values of tegula_tensor.dtype. A bool is a byte, 0 or 1; the 16-bit floats are uint16_t bits. */
enum {
  TEGULA_BOOL = 0,
  TEGULA_INT8 = 1,
  TEGULA_INT16 = 2,
  TEGULA_INT32 = 3,
  TEGULA_INT64 = 4,
  TEGULA_UINT8 = 5,
  TEGULA_UINT16 = 6,
  TEGULA_UINT32 = 7,
  TEGULA_UINT64 = 8,
  TEGULA_FLOAT16 = 9,
  TEGULA_BFLOAT16 = 10,
  TEGULA_FLOAT32 = 11,
  TEGULA_FLOAT64 = 12
};

/* Which Python exception tegula_fail means. */
enum {
  TEGULA_VALUE_ERROR = 0,
  TEGULA_TYPE_ERROR = 1,
  TEGULA_INDEX_ERROR = 2,
  TEGULA_RUNTIME_ERROR = 3
};

/* Element (i, j, ...) is at data + (i * strides[0] + j * strides[1] + ...) elements. Strides may be
 * 0 (broadcast) or negative (flipped). A tensor of rank 0 has one element; one with a size of 0 has
 * none, and its data is not to be read. */
typedef struct tegula_tensor {
  void* data; /* null in a shape rule */
  int32_t dtype;
  int32_t rank;
  const int64_t* shape;
  const int64_t* strides;
} tegula_tensor;

/* An argument that is no tensor: `real` for one declared float, `integer` for int and bool. */
typedef union tegula_value {
  int64_t integer;
  double real;
} tegula_value;

/* What a shape rule says of one output. */
typedef struct tegula_result {
  int32_t dtype;
  int32_t rank;
  int64_t shape[TEGULA_MAX_RANK];
} tegula_result;

typedef struct tegula_call tegula_call;

/* What Tegula does for an operation; see tegula_fail and tegula_parallel_for below. */
typedef struct tegula_engine {
  void (*fail)(const tegula_call* call, int32_t error, const char* message);
  int32_t (*parallel_for)(const tegula_call* call, int64_t count, double microseconds,
                          void (*piece)(void* data, int64_t index), void* data);
} tegula_engine;

/* One call of an operation. Everything it points to is there until the call is over. Inputs and
 * attributes come in the order of the parameters, each sort counted by itself. */
struct tegula_call {
  const tegula_engine* engine;
  int32_t input_count, output_count, attribute_count;
  const tegula_tensor* inputs;
  const tegula_tensor* outputs; /* dense, row-major; null in a shape rule */
  const tegula_value* attributes;
};

/* Fills in `results`, one for each output. Both return 0 when they are done, and anything else for
 * failure, after saying why with tegula_fail. */
typedef int32_t (*tegula_shape_rule)(const tegula_call* call, tegula_result* results);
typedef int32_t (*tegula_kernel)(const tegula_call* call);

enum {
  /* The same arguments always give the same values: of two equal calls one may serve both. */
  TEGULA_PURE = 1,
  /* Inputs come dense and row-major, copied where they are not. Otherwise they come as they lie. */
  TEGULA_DENSE_INPUTS = 2
};

/* Its parameters are written as in a Python signature: "x: Tensor, y: Tensor, axis: int = -1,
 * eps: float = 1e-5". The types are Tensor, int, float and bool; defaults are literals, and only
 * arguments that are no tensors have any. */
typedef struct tegula_operation {
  const char* name; /* a Python identifier */
  const char* parameters;
  const char* doc; /* may be null */
  int32_t output_count; /* at least 1; several outputs are a tuple in Python */
  uint32_t flags;
  tegula_shape_rule shape;
  tegula_kernel kernel;
} tegula_operation;

typedef struct tegula_library {
  uint32_t abi; /* TEGULA_CUSTOM_OP_ABI */
  uint32_t operation_count;
  const char* name; /* a Python identifier; operations are known as "name.operation" */
  const tegula_operation* operations;
} tegula_library;

#if defined(_WIN32)
#define TEGULA_EXPORT_ __declspec(dllexport)
#else
#define TEGULA_EXPORT_ __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
#define TEGULA_EXTERN_ extern "C" TEGULA_EXPORT_
#else
#define TEGULA_EXTERN_ TEGULA_EXPORT_
#endif

/* Exports the operations of an array. Once in a library, outside of any namespace. */
#define TEGULA_CUSTOM_OPS(library_name, array)                                                    \
  TEGULA_EXTERN_ const tegula_library* tegula_custom_ops(void);                                   \
  TEGULA_EXTERN_ const tegula_library* tegula_custom_ops(void) {                                  \
    static const tegula_library library = {                                                       \
        TEGULA_CUSTOM_OP_ABI, (uint32_t)(sizeof(array) / sizeof(array[0])), library_name, array}; \
    return &library;                                                                              \
  }

/* Says, as printf would, why this call fails, and returns 1. The name of the operation is put in
 * front. In a piece of tegula_parallel_for it is followed by return. Of several pieces that fail,
 * the first by index counts. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline int32_t tegula_fail(const tegula_call* call, int32_t error, const char* format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  call->engine->fail(call, error, message);
  return 1;
}

/* Calls piece(data, index) for each index in [0, count) and returns when all are done, Tegula's
 * threads taking part. `microseconds`, what all of it takes one thread, roughly, decides whether
 * others are worth asking. Cut the work by its shapes alone, and let no piece depend on another:
 * then results are the same, bit for bit, for any number of threads. Anything but 0 means that a
 * piece failed or the user wants to stop: return it at once. */
static inline int32_t tegula_parallel_for(const tegula_call* call, int64_t count,
                                          double microseconds,
                                          void (*piece)(void* data, int64_t index), void* data) {
  return call->engine->parallel_for(call, count, microseconds, piece, data);
}

/* The number of elements. */
static inline int64_t tegula_size(const tegula_tensor* tensor) {
  int64_t size = 1;
  for (int32_t axis = 0; axis < tensor->rank; ++axis) size *= tensor->shape[axis];
  return size;
}

/* For shape rules: a result of the shape and dtype of an input. Returns 0. */
static inline int32_t tegula_like(const tegula_tensor* tensor, tegula_result* result) {
  result->dtype = tensor->dtype;
  result->rank = tensor->rank;
  for (int32_t axis = 0; axis < tensor->rank && axis < TEGULA_MAX_RANK; ++axis)
    result->shape[axis] = tensor->shape[axis];
  return 0;
}

#ifdef __cplusplus
} /* extern "C" */

/* The same with anything that can be called as piece(index), a lambda for instance. */
template <class Piece>
int32_t tegula_parallel_for(const tegula_call* call, int64_t count, double microseconds,
                            const Piece& piece) {
  return tegula_parallel_for(
      call, count, microseconds,
      [](void* data, int64_t index) { (*static_cast<const Piece*>(data))(index); },
      const_cast<void*>(static_cast<const void*>(&piece)));
}
#endif

#endif /* TEGULA_CUSTOM_OP_H_ */
