// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice Sets of up to 256 epochs as the bits of a word.
library Bits {
    uint256 private constant PAIRS = 0x5555555555555555555555555555555555555555555555555555555555555555;
    uint256 private constant QUADS = 0x3333333333333333333333333333333333333333333333333333333333333333;
    uint256 private constant BYTES = 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f;
    uint256 private constant PAIRS_OF_BYTES = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant ONES = 0x0001000100010001000100010001000100010001000100010001000100010001;

    /// @notice The bits from `from` to before `to`; 0 <= from <= to <= 256.
    function range(uint256 from, uint256 to) internal pure returns (uint256) {
        // A shift by 256 gives 0, and 0 - 1 all bits.
        unchecked {
            return (uint256(1) << to) - (uint256(1) << from);
        }
    }

    /// @notice How many bits are set.
    function count(uint256 bits) internal pure returns (uint256) {
        if (bits == 0) return 0;
        // Sums of neighbours, side by side in the word, then of all lanes at once: 256 does not fit into a byte, so the last
        // lanes are of 16 bits.
        unchecked {
            bits -= (bits >> 1) & PAIRS;
            bits = (bits & QUADS) + ((bits >> 2) & QUADS);
            bits = (bits + (bits >> 4)) & BYTES;
            bits = (bits & PAIRS_OF_BYTES) + ((bits >> 8) & PAIRS_OF_BYTES);
            return (bits * ONES) >> 240;
        }
    }

    /// @notice The position of the lowest bit; the word is not zero.
    function lowest(uint256 bits) internal pure returns (uint256) {
        unchecked {
            return Math.log2(bits & (~bits + 1));
        }
    }

    /// @notice The position of the highest bit; the word is not zero.
    function highest(uint256 bits) internal pure returns (uint256) {
        return Math.log2(bits);
    }
}
