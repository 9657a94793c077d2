// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LEAF_SIZE} from "peerage/types/Types.sol";

/// @notice The prover's side of the Merkle sum tree, for tests: leaf i of a tree is copies of keccak256(tag, i). Split as RFC
/// 6962; a node's hash depends on its range only.
library SumTrees {
    /// @param sparse The hashes of what a proof does not open are made up: for trees too large to be hashed here.
    /// @param uniform All leaves are the same, so that a tree of thousands is hashed by its levels.
    struct Tree {
        bytes32 tag;
        uint256 leaves;
        bool sparse;
        bool uniform;
    }

    /// @dev A subtree's part of a proof. closed: no leaf of it is opened, and only its hash counts. Otherwise, lefts: the closed
    /// subtrees before its first opened leaf; text: from that leaf to the last opened one; steps: `depth` of them, up from the
    /// last one; rights: the closed subtrees on that way.
    struct Cut {
        bytes32 hash;
        bool closed;
        bytes lefts;
        bytes text;
        uint64 steps;
        uint256 depth;
        bytes rights;
    }

    function leaf(Tree memory tree, uint256 index) internal pure returns (bytes memory data) {
        bytes32 word = keccak256(abi.encode(tree.tag, tree.uniform ? 0 : index));
        data = new bytes(LEAF_SIZE);
        for (uint256 at = 32; at <= LEAF_SIZE; at += 32) {
            assembly ("memory-safe") {
                mstore(add(data, at), word)
            }
        }
    }

    function root(Tree memory tree) internal pure returns (bytes32) {
        return hashOf(tree, 0, tree.leaves);
    }

    /// @notice The proof that opens these leaves, ascending; at least one.
    function proof(Tree memory tree, uint64[] memory indices) internal pure returns (bytes memory) {
        Cut memory whole = cut(tree, indices, 0, tree.leaves);
        return bytes.concat(begun(whole), whole.text, ended(whole));
    }

    function cut(Tree memory tree, uint64[] memory indices, uint256 low, uint256 high)
        internal
        pure
        returns (Cut memory whole)
    {
        if (!within(indices, low, high)) {
            whole.closed = true;
            whole.hash = tree.sparse ? keccak256(abi.encode(tree.tag, low, high)) : hashOf(tree, low, high);
            return whole;
        }
        if (high - low == 1) {
            whole.text = leaf(tree, low);
            whole.hash = sha256(abi.encodePacked(hex"00", whole.text));
            return whole;
        }
        uint256 middle = low + split(high - low);
        Cut memory left = cut(tree, indices, low, middle);
        Cut memory right = cut(tree, indices, middle, high);
        bytes32 hash = parent(middle - low, left.hash, high - middle, right.hash);
        if (right.closed) {
            whole = left;
            whole.steps |= uint64(1) << uint64(whole.depth);
            whole.rights = bytes.concat(left.rights, closed(high - middle, right.hash));
        } else {
            whole = right;
            if (left.closed) {
                whole.lefts = bytes.concat(closed(middle - low, left.hash), right.lefts);
            } else {
                whole.text = bytes.concat(left.text, ended(left), begun(right), right.text);
                whole.lefts = left.lefts;
            }
        }
        ++whole.depth;
        whole.hash = hash;
    }

    function begun(Cut memory part) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(part.lefts.length / 40), part.lefts);
    }

    function ended(Cut memory part) internal pure returns (bytes memory) {
        return abi.encodePacked(part.steps | uint64(1) << uint64(part.depth), part.rights);
    }

    /// @notice The proof that opens one leaf, from its path, leaf upwards; bit i of lefts: sibling i is the left child.
    function along(bytes memory data, bytes32[] memory siblings, uint256[] memory counts, uint256 lefts)
        internal
        pure
        returns (bytes memory)
    {
        Cut memory whole;
        whole.text = data;
        whole.depth = siblings.length;
        for (uint256 i = 0; i < siblings.length; ++i) {
            bytes memory sibling = closed(counts[i], siblings[i]);
            if ((lefts >> i) & 1 == 1) {
                whole.lefts = bytes.concat(sibling, whole.lefts);
            } else {
                whole.rights = bytes.concat(whole.rights, sibling);
                whole.steps |= uint64(1) << uint64(i);
            }
        }
        return bytes.concat(begun(whole), whole.text, ended(whole));
    }

    function closed(uint256 leaves, bytes32 hash) internal pure returns (bytes memory) {
        return abi.encodePacked(uint64(leaves), hash);
    }

    function hashOf(Tree memory tree, uint256 low, uint256 high) internal pure returns (bytes32 hash) {
        if (high - low == 1) return sha256(abi.encodePacked(hex"00", leaf(tree, low)));
        uint256 middle = low + split(high - low);
        if (tree.uniform && middle - low == high - middle) {
            hash = hashOf(tree, low, middle);
            return parent(middle - low, hash, high - middle, hash);
        }
        return parent(middle - low, hashOf(tree, low, middle), high - middle, hashOf(tree, middle, high));
    }

    function parent(uint256 leftCount, bytes32 left, uint256 rightCount, bytes32 right)
        internal
        pure
        returns (bytes32)
    {
        return sha256(abi.encodePacked(hex"01", uint64(leftCount), left, uint64(rightCount), right));
    }

    function within(uint64[] memory indices, uint256 low, uint256 high) internal pure returns (bool) {
        for (uint256 i = 0; i < indices.length; ++i) {
            if (indices[i] >= low && indices[i] < high) return true;
        }
        return false;
    }

    /// @dev The largest power of two below n.
    function split(uint256 n) internal pure returns (uint256 power) {
        power = 1;
        while (power * 2 < n) power *= 2;
    }
}
