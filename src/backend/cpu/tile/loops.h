// Loops over elements, compiled once per instruction set: include inside HWY_NAMESPACE.
// The compiler vectorises them; `ivdep` promises that no element depends on another, so an operand
// may be the output.

template <class Op, class T, class R>
struct Unary {
  static void run(void* out, const void* a, const void*, const void*, int64_t n) {
    const T* x = static_cast<const T*>(a);
    R* y = static_cast<R*>(out);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = Op::apply(x[i]);
  }
};

template <class Op, class T, class R>
struct Binary {
  static void vectors(void* out, const void* a, const void* b, const void*, int64_t n) {
    const T* x = static_cast<const T*>(a);
    const T* y = static_cast<const T*>(b);
    R* z = static_cast<R*>(out);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) z[i] = Op::apply(x[i], y[i]);
  }
  static void scalar_right(void* out, const void* a, const void* b, const void*, int64_t n) {
    const T* x = static_cast<const T*>(a);
    const T y = *static_cast<const T*>(b);
    R* z = static_cast<R*>(out);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) z[i] = Op::apply(x[i], y);
  }
  static void scalar_left(void* out, const void* a, const void* b, const void*, int64_t n) {
    const T x = *static_cast<const T*>(a);
    const T* y = static_cast<const T*>(b);
    R* z = static_cast<R*>(out);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) z[i] = Op::apply(x, y[i]);
  }
  static TileFunction find(Form form) {
    return form == Form::vectors        ? vectors
           : form == Form::scalar_right ? scalar_right
                                        : scalar_left;
  }
};
