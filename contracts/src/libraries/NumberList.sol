// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Lists of 32-bit numbers, eight a word; the length is kept by their owner.
library NumberList {
    function put(mapping(uint256 word => uint256) storage self, uint256 index, uint32 number) internal {
        self[index >> 3] |= uint256(number) << ((index & 7) * 32);
    }

    function at(mapping(uint256 word => uint256) storage self, uint256 index) internal view returns (uint32) {
        return uint32(self[index >> 3] >> ((index & 7) * 32));
    }
}
