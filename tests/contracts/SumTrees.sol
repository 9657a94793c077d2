// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Sample} from "peerage/types/Types.sol";

/// @notice The prover's side of the Merkle sum tree, for tests: leaf i of a tree is
/// 32 copies of keccak256(tag, i). Split as RFC 6962; a node's hash depends on its range only.
library SumTrees {
    struct Tree {
        bytes32 tag;
        uint256 leaves;
    }

    function leaf(Tree memory tree, uint256 index) internal pure returns (bytes memory data) {
        bytes32 word = keccak256(abi.encode(tree.tag, index));
        data = new bytes(1024);
        assembly ("memory-safe") {
            for { let at := 32 } lt(at, 1056) { at := add(at, 32) } { mstore(add(data, at), word) }
        }
    }

    function root(Tree memory tree) internal pure returns (bytes32) {
        return hashOf(tree, 0, tree.leaves);
    }

    function sample(Tree memory tree, uint256 index) internal pure returns (Sample memory opened) {
        opened.leaf = leaf(tree, index);
        bytes32[] memory siblings = new bytes32[](64);
        uint64[] memory counts = new uint64[](64);
        uint256 depth;
        uint256 low;
        uint256 high = tree.leaves;
        // From the root down first, turned over at the end.
        uint256 lefts;
        while (high - low > 1) {
            uint256 middle = low + split(high - low);
            if (index < middle) {
                siblings[depth] = hashOf(tree, middle, high);
                counts[depth] = uint64(high - middle);
                high = middle;
            } else {
                siblings[depth] = hashOf(tree, low, middle);
                counts[depth] = uint64(middle - low);
                lefts |= 1 << depth;
                low = middle;
            }
            ++depth;
        }
        opened.siblings = new bytes32[](depth);
        opened.counts = new uint64[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            opened.siblings[i] = siblings[depth - 1 - i];
            opened.counts[i] = counts[depth - 1 - i];
            if ((lefts >> (depth - 1 - i)) & 1 == 1) opened.lefts |= 1 << i;
        }
    }

    function hashOf(Tree memory tree, uint256 low, uint256 high) internal pure returns (bytes32) {
        if (high - low == 1) return sha256(abi.encodePacked(hex"00", leaf(tree, low)));
        uint256 middle = low + split(high - low);
        return sha256(
            abi.encodePacked(
                hex"01",
                uint64(middle - low),
                hashOf(tree, low, middle),
                uint64(high - middle),
                hashOf(tree, middle, high)
            )
        );
    }

    /// @dev The largest power of two below n.
    function split(uint256 n) internal pure returns (uint256 power) {
        power = 1;
        while (power * 2 < n) power *= 2;
    }
}
