// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SumTree} from "peerage/libraries/SumTree.sol";
import {LEAF_SIZE} from "peerage/types/Types.sol";

/// @notice What no proof can do, whatever hashes and counts it holds, proven by halmos (scripts/assure halmos). SHA-256 is any
/// function there; its collisions are left out by name.
contract SymbolicPathsTest {
    struct Side {
        bool isRight;
        uint64 count;
        bytes32 hash;
    }

    function fold(bytes calldata proof) external view returns (bytes32 root, uint256 leaves, uint256[] memory opened) {
        return SumTree.fold(proof, 2);
    }

    /// @dev One root, one index: one leaf. So no path proves two leaves, or one leaf at two indices of a tree.
    function check_aRootHasOneLeafAtAnIndex(bytes32 one, bytes32 other, Side memory a, Side memory b) external view {
        (bytes32 rootA,, uint256[] memory openedA) = this.fold(proofOf(one, a));
        (bytes32 rootB,, uint256[] memory openedB) = this.fold(proofOf(other, b));
        if (rootA != rootB || openedA[0] != openedB[0]) return;
        if (collide(one, a, other, b)) return;
        assert(leafHash(one) == leafHash(other));
    }

    /// @dev Counts are added modulo 2^64 and nothing else is touched by it: the cut sum is what the next hash is of, so no root of
    /// a true tree is reached by counts that overflow.
    function check_countsThatOverflowAreWhatTheHashIsOf(
        bytes32 data,
        uint64 near,
        bytes32 nearHash,
        uint64 far,
        bytes32 farHash
    ) external view {
        bytes memory proof = abi.encodePacked(uint8(0), leafOf(data), uint64(7), near, nearHash, far, farHash);
        (bytes32 root, uint256 leaves,) = this.fold(proof);
        assert(root == parent(sum(1, near), parent(1, leafHash(data), near, nearHash), far, farHash));
        assert(leaves == sum(sum(1, near), far));
    }

    function collide(bytes32 one, Side memory a, bytes32 other, Side memory b) private pure returns (bool) {
        bytes memory first = preimageOf(one, a);
        bytes memory second = preimageOf(other, b);
        for (uint256 at = 32; at <= 96; at += 32) {
            bytes32 x;
            bytes32 y;
            assembly ("memory-safe") {
                x := mload(add(first, at))
                y := mload(add(second, at))
            }
            if (x != y) return true;
        }
        return false;
    }

    function proofOf(bytes32 data, Side memory side) private pure returns (bytes memory) {
        return side.isRight
            ? abi.encodePacked(uint8(0), leafOf(data), uint64(3), side.count, side.hash)
            : abi.encodePacked(uint8(1), side.count, side.hash, leafOf(data), uint64(2));
    }

    /// @dev Of the root, filled up to 96 bytes.
    function preimageOf(bytes32 data, Side memory side) private pure returns (bytes memory) {
        bytes32 hash = leafHash(data);
        return side.isRight
            ? abi.encodePacked(hex"01", uint64(1), hash, side.count, side.hash, bytes15(0))
            : abi.encodePacked(hex"01", side.count, side.hash, uint64(1), hash, bytes15(0));
    }

    function leafOf(bytes32 data) private pure returns (bytes memory) {
        return abi.encodePacked(data, new bytes(LEAF_SIZE - 32));
    }

    function leafHash(bytes32 data) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", leafOf(data)));
    }

    function parent(uint64 leftCount, bytes32 left, uint64 rightCount, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"01", leftCount, left, rightCount, right));
    }

    function sum(uint64 one, uint64 other) private pure returns (uint64) {
        unchecked {
            return one + other;
        }
    }
}
