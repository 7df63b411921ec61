// A vector whose first N elements live inside it: shapes, strides and operand lists rarely exceed
// a handful of elements, and recording an operation must not allocate for them.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace tegula {

template <class T, size_t N>
class SmallVector {
 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  SmallVector() = default;
  explicit SmallVector(size_t count, const T& value = T()) { resize(count, value); }
  SmallVector(std::initializer_list<T> items) { append(items.begin(), items.end()); }
  explicit SmallVector(std::span<const T> items) { append(items.begin(), items.end()); }
  template <class It>
  SmallVector(It first, It last) {
    append(first, last);
  }
  SmallVector(const SmallVector& other) { append(other.begin(), other.end()); }
  SmallVector(SmallVector&& other) noexcept { take(other); }
  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) {
      clear();
      append(other.begin(), other.end());
    }
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }
  ~SmallVector() { release(); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& front() { return data_[0]; }
  const T& front() const { return data_[0]; }
  T& back() { return data_[size_ - 1]; }
  const T& back() const { return data_[size_ - 1]; }
  iterator begin() { return data_; }
  iterator end() { return data_ + size_; }
  const_iterator begin() const { return data_; }
  const_iterator end() const { return data_ + size_; }

  void reserve(size_t capacity) {
    if (capacity > capacity_) grow(capacity);
  }
  void push_back(const T& value) {
    if (size_ == capacity_) {
      T copy(value);  // `value` may live inside this vector
      grow(size_ * 2);
      new (data_ + size_++) T(std::move(copy));
    } else {
      new (data_ + size_++) T(value);
    }
  }
  void push_back(T&& value) {
    if (size_ == capacity_) {
      T moved(std::move(value));
      grow(size_ * 2);
      new (data_ + size_++) T(std::move(moved));
    } else {
      new (data_ + size_++) T(std::move(value));
    }
  }
  void pop_back() { data_[--size_].~T(); }
  void clear() {
    std::destroy(begin(), end());
    size_ = 0;
  }
  void resize(size_t count, const T& value = T()) {
    if (count < size_) {
      std::destroy(begin() + count, end());
    } else {
      reserve(count);
      std::uninitialized_fill(data_ + size_, data_ + count, value);
    }
    size_ = count;
  }
  template <class It>
  void append(It first, It last) {
    for (; first != last; ++first) push_back(*first);
  }
  void insert(size_t position, const T& value) {
    push_back(value);
    for (size_t i = size_ - 1; i > position; --i) std::swap(data_[i], data_[i - 1]);
  }
  void erase(size_t position) {
    for (size_t i = position; i + 1 < size_; ++i) data_[i] = std::move(data_[i + 1]);
    pop_back();
  }

  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    if (a.size_ != b.size_) return false;
    for (size_t i = 0; i < a.size_; ++i)
      if (!(a.data_[i] == b.data_[i])) return false;
    return true;
  }
  operator std::span<const T>() const { return {data_, size_}; }

 private:
  T* local() { return reinterpret_cast<T*>(storage_); }
  bool is_local() const { return data_ == reinterpret_cast<const T*>(storage_); }

  void grow(size_t capacity) {
    T* fresh = static_cast<T*>(::operator new(capacity * sizeof(T), std::align_val_t(alignof(T))));
    std::uninitialized_move(begin(), end(), fresh);
    std::destroy(begin(), end());
    free_heap();
    data_ = fresh;
    capacity_ = capacity;
  }
  void free_heap() {
    if (!is_local()) ::operator delete(data_, std::align_val_t(alignof(T)));
  }
  void release() {
    std::destroy(begin(), end());
    free_heap();
    data_ = local();
    size_ = 0;
    capacity_ = N;
  }
  void take(SmallVector& other) noexcept {
    if (other.is_local()) {
      std::uninitialized_move(other.begin(), other.end(), data_);
      size_ = other.size_;
      other.clear();
    } else {
      data_ = std::exchange(other.data_, other.local());
      size_ = std::exchange(other.size_, 0);
      capacity_ = std::exchange(other.capacity_, N);
    }
  }

  alignas(T) std::byte storage_[N * sizeof(T)];
  T* data_ = local();
  size_t size_ = 0;
  size_t capacity_ = N;
};

}  // namespace tegula
