// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice Amounts from sizes and prices, rounded up to a whole micro-credit.
library Pricing {
    uint256 internal constant GIB = 1 << 30;

    /// @notice What `size` bytes cost at `pricePerGib`. Both below 2^64 (or leaves below 2^64 by 1,024): nothing overflows.
    function cost(uint256 size, uint256 pricePerGib) internal pure returns (uint256) {
        return Math.ceilDiv(size * pricePerGib, GIB);
    }

    /// @notice What a full capacity costs over a number of epochs: no less than the pay of those epochs, each rounded up.
    function fullCost(uint256 capacity, uint256 pricePerGibEpoch, uint256 epochs) internal pure returns (uint256) {
        return cost(capacity, pricePerGibEpoch) * epochs;
    }
}
