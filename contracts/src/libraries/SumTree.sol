// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

// solhint reads no assembly, where it is used.
// solhint-disable-next-line no-unused-import
import {LEAF_SIZE} from "../types/Types.sol";

/// @notice Merkle sum tree over SHA-256: a leaf is SHA-256(0x00 || its bytes) with count 1, a node
/// SHA-256(0x01 || uint64 left count || left hash || uint64 right count || right hash) with the sum of the counts.
///
/// A proof is a tree cut down to the leaves that it opens, written from left to right, so that what they share of their paths
/// stands there once. For each leaf:
///
///   uint8     how many closed subtrees come between the leaf before and this one: they go on a stack
///   40 each   closed subtree: uint64 count, hash
///   leaf      it goes on the stack, too
///   uint64    steps up, the lowest bit first, ended by the highest bit that is set:
///               0  the two topmost nodes become their parent
///               1  the topmost node and the next closed subtree below, at its right, become their parent
///   40 each   those closed subtrees
///
/// In the end the root alone is left.
///
/// @dev Every node commits to the counts below it, so the counts to its left tell a leaf's index. A leaf's preimage and a
/// node's have different lengths and first bytes: neither can be taken for the other.
library SumTree {
    /// @notice Not one whole tree, or more leaves than asked for; `offset` bytes of it had been read.
    error MalformedProof(uint256 offset);

    /// @notice Folds a proof. What it returns means something only if root and leaves are the known ones.
    /// @param most Leaves that it may open at most.
    /// @return root The hash at the top. leaves The leaves below it. opened The indices of the opened leaves, ascending.
    function fold(bytes calldata proof, uint256 most)
        internal
        view
        returns (bytes32 root, uint256 leaves, uint256[] memory opened)
    {
        uint256 offset;
        bool whole;
        // Hashing through Solidity would copy every node into fresh memory. Here free memory holds, and only `opened` stays:
        // `opened`, room for 0x00 and a leaf, and the stack. An entry of it is a count (8 bytes) and a hash (32), so that two
        // neighbours, with 0x01 put before them, are their parent's preimage where they lie.
        assembly ("memory-safe") {
            opened := mload(0x40)
            let next := add(opened, 32)
            let leaf := add(next, shl(5, most))
            // The byte before the lowest entry, and before the entry that is worked on.
            let base := add(leaf, add(LEAF_SIZE, 32))
            let top := base
            let at := proof.offset
            let end := add(at, proof.length)
            mstore8(leaf, 0)
            for {} lt(at, end) {} {
                if eq(next, leaf) {
                    top := 0
                    break
                }
                let length := mul(40, byte(0, calldataload(at)))
                at := add(at, 1)
                calldatacopy(add(top, 1), at, length)
                at := add(at, length)
                top := add(top, length)
                // What lies to the left of the leaf is what the stack holds.
                let index := 0
                for { let entry := add(base, 1) } lt(entry, top) { entry := add(entry, 40) } {
                    index := add(index, shr(192, mload(entry)))
                }
                mstore(next, index)
                next := add(next, 32)
                calldatacopy(add(leaf, 1), at, LEAF_SIZE)
                at := add(at, LEAF_SIZE)
                mstore(add(top, 1), shl(192, 1))
                let done := staticcall(gas(), 2, leaf, add(LEAF_SIZE, 1), add(top, 9), 32)

                let steps := shr(192, calldataload(at))
                at := add(at, 8)
                for {} gt(steps, 1) { steps := shr(1, steps) } {
                    switch and(steps, 1)
                    case 0 {
                        top := sub(top, 40)
                        if lt(top, base) { break }
                    }
                    default {
                        calldatacopy(add(top, 41), at, 40)
                        at := add(at, 40)
                    }
                    // The left count and the 24 bytes before it, the last of which makes room for 0x01 meanwhile. Counts whose
                    // sum does not fit spoil them; but then the parent's hash is of a preimage that no true tree has.
                    let kept := mload(sub(top, 23))
                    mstore8(top, 1)
                    done := and(done, staticcall(gas(), 2, top, 81, add(top, 9), 32))
                    mstore(sub(top, 23), add(kept, shr(192, mload(add(top, 41)))))
                }
                top := add(top, 40)
                // Too many joins, or steps without an end.
                if or(or(iszero(gt(top, base)), iszero(steps)), iszero(done)) {
                    top := 0
                    break
                }
            }
            offset := sub(at, proof.offset)
            whole := and(eq(at, end), eq(top, add(base, 40)))
            root := mload(add(base, 9))
            leaves := shr(192, mload(add(base, 1)))
            mstore(opened, shr(5, sub(sub(next, opened), 32)))
            mstore(0x40, leaf)
        }
        if (!whole) revert MalformedProof(offset);
    }
}
