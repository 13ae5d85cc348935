// A view of a contiguous array; C++17 has no std::span.
#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>

namespace zdc_fastsim {

/// Pointer and length of an array, which must outlive the span. A Span<T> converts implicitly to Span<const T>.
template <class T>
class Span {
 public:
  constexpr Span() noexcept = default;
  constexpr Span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}

  /// A view of an array, std::vector, std::array, std::span or any other type with std::data and std::size. A temporary
  /// must be a view or read-only, because values written to a temporary container would be lost.
  template <class Container,
            class Kept = std::conditional_t<std::is_lvalue_reference_v<Container>, Container,
                                            const std::remove_reference_t<Container>&>,
            class Element = std::remove_pointer_t<decltype(std::data(std::declval<Kept>()))>,
            class = std::enable_if_t<std::is_convertible_v<Element (*)[], T (*)[]>>>
  constexpr Span(Container&& container) noexcept : data_(std::data(container)), size_(std::size(container)) {}

  constexpr T* data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T* begin() const noexcept { return data_; }
  constexpr T* end() const noexcept { return data_ + size_; }
  constexpr T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace zdc_fastsim
