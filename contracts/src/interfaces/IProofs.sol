// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementState, Possession} from "../types/Types.sol";

/// @notice A challenge. due: there is something to prove; otherwise indices, which ascend, is empty. leaves, root and sequence
/// are those of the frozen revision. proven: an accepted proof is on record. Of epochs before the last two, seed is zero and
/// indices is empty.
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

/// @notice A loss that a provider reported itself: leaves from `from` on, not asked for in the epochs from `since` to before
/// `until`. restored: ended by the provider, who says that it has them again. All zero if there never was one.
struct Loss {
    uint64 from;
    uint64 leaves;
    uint32 since;
    uint32 until;
    bool restored;
}

/// @notice Challenges, the verification of proofs, and the record of proven epochs.
///
/// An epoch's challenge asks for one leaf out of each of `samples` equal parts of the agreement:
///
///   own = keccak256(abi.encode(seed, chain id, this contract, agreement, provider))
///   part i is [leaves * i / samples, leaves * (i + 1) / samples), and if it is not empty
///   leaf i is its start + keccak256(abi.encode(own, i)) mod its size
///
/// A provider that finds data lost may report it, for a part of what their loss would cost if it were found. The leaves are
/// then not asked for, from two epochs later on, so that no report comes after the links that make the challenge are public;
/// and for repairEpochs at most, so that nobody stays excused for ever. Proofs of those epochs keep the agreement, unpaid.
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

    error BadLoss(bytes32 agreement, uint64 from, uint64 leaves, uint64 held);
    /// @notice A loss was reported, and is neither over nor made up for by an epoch proven in full since it was over.
    error LossStands(bytes32 agreement, uint32 until);
    error NoLoss(bytes32 agreement);

    event Proven(bytes32 indexed agreement, uint32 indexed epoch, uint32 indexed provider);
    event LossReported(
        bytes32 indexed agreement, uint32 indexed provider, uint64 from, uint64 leaves, uint32 since, uint32 until
    );
    event LossRestored(bytes32 indexed agreement, uint32 indexed provider, uint32 until);

    /// @notice Records proofs for the CURRENT epoch. A key of the provider of each agreement, after the provider's
    /// beat of the same epoch: a proven epoch was beaten in, too. What is proven already is
    /// passed over, so that a transaction may be sent again; anything wrong reverts all.
    function prove(Possession[] calldata possessions) external;

    /// @notice Reports that leaves of the newest revision are lost. A key of the provider. One range at a time: the next one
    /// after this one was restored and is over, or an epoch was proven in full since. Costs half of what re-replicating the
    /// leaves does, out of the collateral.
    function reportLoss(bytes32 agreement, uint64 from, uint64 leaves) external;

    /// @notice Says that the reported leaves are there again: they are asked for from two epochs later on. A key of the provider.
    function reportRestored(bytes32 agreement) external;

    /// @notice The loss reported last.
    function lossOf(bytes32 agreement) external view returns (Loss memory);

    function challenge(bytes32 agreement, uint32 epoch)
        external
        view
        returns (bool due, bytes32 seed, uint64 sequence, bytes32 root, uint64 leaves, uint64[] memory indices);

    /// @notice Many at once.
    function challenges(bytes32[] calldata agreements, uint32 epoch) external view returns (ChallengeView[] memory);

    function proven(bytes32 agreement, uint32 epoch) external view returns (bool);

    /// @notice Bit i: proven in epoch word * 256 + i.
    function provenWord(bytes32 agreement, uint32 word) external view returns (uint256);

    /// @notice Bit i: a reported loss stands in epoch word * 256 + i.
    function impairedWord(bytes32 agreement, uint32 word) external view returns (uint256);

    /// @notice Both of them.
    function words(bytes32 agreement, uint32 word) external view returns (uint256 provenBits, uint256 impairedBits);
}
