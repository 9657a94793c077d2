// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LEAF_SIZE, Sample} from "../types/Types.sol";

/// @notice Merkle sum tree over SHA-256: a leaf is SHA-256(0x00 || 1,024 bytes) with count 1, a node
/// SHA-256(0x01 || uint64 left count || left hash || uint64 right count || right hash) with the sum of the counts.
/// @dev Every node commits to the counts below it, so a path alone tells the leaf's index. A leaf's preimage has 1,025
/// bytes and a node's 81, each with its own first byte: neither can be taken for the other.
library SumTree {
    error BadLeafSize(uint256 size);
    error BadPath(uint256 siblings, uint256 counts);

    /// @notice Folds a sample's path.
    /// @return root The hash at the top. count The leaves below it. index The leaf's position among them.
    function fold(Sample calldata sample) internal pure returns (bytes32 root, uint256 count, uint256 index) {
        if (sample.leaf.length != LEAF_SIZE) revert BadLeafSize(sample.leaf.length);
        uint256 depth = sample.siblings.length;
        if (depth != sample.counts.length || depth > 64) revert BadPath(depth, sample.counts.length);

        // Each hash below takes fresh memory, which Solidity never frees and whose price grows with its square: the pointer
        // goes back at the end, for nothing but stack values leaves this function.
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        root = sha256(abi.encodePacked(hex"00", sample.leaf));
        count = 1;
        for (uint256 i = 0; i < depth; ++i) {
            uint64 beside = sample.counts[i];
            // The casts may cut only a count above 2^64 - 1, which the caller's comparison with the true count refuses.
            if ((sample.lefts >> i) & 1 == 1) {
                root = sha256(abi.encodePacked(hex"01", beside, sample.siblings[i], uint64(count), root));
                index += beside;
            } else {
                root = sha256(abi.encodePacked(hex"01", uint64(count), root, beside, sample.siblings[i]));
            }
            count += beside;
        }
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }
}
