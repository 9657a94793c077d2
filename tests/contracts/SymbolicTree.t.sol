// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SumTree} from "peerage/libraries/SumTree.sol";

/// @notice The fold of a proof is the plain definition of the tree, whatever hashes, counts and leaves it holds: by halmos
/// (scripts/assure halmos), which knows nothing of SHA-256 but that equal inputs have equal hashes.
contract SymbolicTreeTest {
    function fold(bytes calldata proof, uint256 most) external view returns (bytes32, uint256, uint256[] memory) {
        return SumTree.fold(proof, most);
    }

    function check_aTreeOfOneLeaf(bytes32[32] memory words) external view {
        bytes memory data = abi.encodePacked(words);
        (bytes32 root, uint256 leaves, uint256[] memory opened) =
            this.fold(abi.encodePacked(uint8(0), data, uint64(1)), 1);
        assert(root == _leaf(data) && leaves == 1);
        assert(opened.length == 1 && opened[0] == 0);
    }

    /// @dev ((left, opened), right)
    function check_oneLeafBetweenSubtrees(
        bytes32[32] memory words,
        bytes32 left,
        uint32 before,
        bytes32 right,
        uint32 behind
    ) external view {
        bytes memory data = abi.encodePacked(words);
        bytes memory proof = abi.encodePacked(uint8(1), uint64(before), left, data, uint64(6), uint64(behind), right);
        (bytes32 root, uint256 leaves, uint256[] memory opened) = this.fold(proof, 1);
        bytes32 below = _node(before, left, 1, _leaf(data));
        assert(root == _node(uint64(before) + 1, below, behind, right));
        assert(leaves == uint256(before) + 1 + behind);
        assert(opened.length == 1 && opened[0] == before);
    }

    /// @dev ((opened, right), (left, opened))
    function check_twoLeavesThatShareTheirPath(
        bytes32[32] memory first,
        bytes32[32] memory second,
        bytes32 right,
        uint32 behind,
        bytes32 left,
        uint32 before
    ) external view {
        (bytes memory one, bytes memory other) = (abi.encodePacked(first), abi.encodePacked(second));
        bytes memory proof = abi.encodePacked(uint8(0), one, uint64(3), uint64(behind), right);
        proof = abi.encodePacked(proof, uint8(1), uint64(before), left, other, uint64(4));
        (bytes32 root, uint256 leaves, uint256[] memory opened) = this.fold(proof, 2);
        bytes32 low = _node(1, _leaf(one), behind, right);
        bytes32 high = _node(before, left, 1, _leaf(other));
        assert(root == _node(uint64(behind) + 1, low, uint64(before) + 1, high));
        assert(leaves == uint256(behind) + before + 2);
        assert(opened.length == 2 && opened[0] == 0 && opened[1] == uint256(behind) + 1 + before);
    }

    function _leaf(bytes memory data) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", data));
    }

    function _node(uint64 lefts, bytes32 left, uint64 rights, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"01", lefts, left, rights, right));
    }
}
