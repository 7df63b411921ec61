// How convolutions with 3 x 3 filters and stride 1 are computed where there is a choice.
#pragma once

#include <string_view>

namespace tegula::cpu {

// Winograd's minimal filtering for tiles of 2 x 2 or 4 x 4 results: see docs/numerics.md.
enum class ConvAlgorithm { direct, winograd2, winograd4 };

// For the work that runs from now on; winograd2 unless TEGULA_CONV names another.
ConvAlgorithm conv_algorithm();
void set_conv_algorithm(ConvAlgorithm algorithm);

std::string_view name(ConvAlgorithm algorithm);
// Throws ValueError, naming `where` the text comes from, unless it is a name.
ConvAlgorithm parse_conv_algorithm(std::string_view text, std::string_view where);

}  // namespace tegula::cpu
