// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementState, Possession} from "../types/Types.sol";

/// @notice A challenge. due: there is something to prove; otherwise indices, which ascend, is empty. leaves, root and sequence
/// are those of the frozen revision. proven: an accepted proof is on record.
struct ChallengeView {
    bytes32 agreement;
    bool due;
    bool proven;
    bytes32 seed;
    uint64 sequence;
    bytes32 root;
    uint64 leaves;
    uint64[] indices;
}

/// @notice Challenges, the verification of proofs, and the record of proven epochs.
///
/// An epoch's challenge asks for one leaf out of each of `samples` equal parts of the agreement:
///
///   own = keccak256(abi.encode(seed, chain id, this contract, agreement, provider))
///   part i is [leaves * i / samples, leaves * (i + 1) / samples), and if it is not empty
///   leaf i is its start + keccak256(abi.encode(own, i)) mod its size
interface IProofs {
    error EpochVoid(uint32 epoch);
    /// @notice Whoever proves has beaten before, in the same epoch.
    error NotBeaten(uint32 member, uint32 lastBeat, uint32 epoch);
    error NotProvider(bytes32 agreement, uint32 provider, address sender);
    error NothingDue(bytes32 agreement, AgreementState state, uint64 leaves, uint32 epoch);
    /// @notice The proof does not lead to the frozen revision's root and leaf count.
    error WrongRoot(bytes32 agreement, bytes32 expected, bytes32 folded, uint256 leaves);
    /// @notice Another leaf than the challenged one: a proof for another epoch, agreement, provider or chain; or one too many.
    error WrongLeaf(bytes32 agreement, uint256 expected, uint256 given);
    error LeafMissing(bytes32 agreement, uint256 expected);

    event Proven(bytes32 indexed agreement, uint32 indexed epoch, uint32 indexed provider);

    /// @notice Records proofs for the CURRENT epoch. A key of the provider of each agreement, after the provider's
    /// beat of the same epoch: a proven epoch was beaten in, too. What is proven already is
    /// passed over, so that a transaction may be sent again; anything wrong reverts all.
    function prove(Possession[] calldata possessions) external;

    function challenge(bytes32 agreement, uint32 epoch)
        external
        view
        returns (bool due, bytes32 seed, uint64 sequence, bytes32 root, uint64 leaves, uint64[] memory indices);

    /// @notice Many at once.
    function challenges(bytes32[] calldata agreements, uint32 epoch) external view returns (ChallengeView[] memory);

    function proven(bytes32 agreement, uint32 epoch) external view returns (bool);

    /// @notice Bit i: proven in epoch word * 256 + i.
    function provenWord(bytes32 agreement, uint32 word) external view returns (uint256);
}
