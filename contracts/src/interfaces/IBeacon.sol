// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice A member's hash onion now. tip: what the next revealed link must hash to; since: the epoch since which its
/// commitment is in effect. pending: the tip that replaces it from epoch pendingFrom on, or zero. lastBeat: the epoch of
/// its newest beat; if that is later than or equal to `since`, tip is the link which that beat revealed.
struct OnionView {
    bytes20 tip;
    uint32 since;
    bytes20 pending;
    uint32 pendingFrom;
    uint32 lastBeat;
    bool counted;
}

/// @notice What a member's draws of an epoch depend on. active: members that counted for the quorum that made the seed; zero
/// without a seed. The others as in OnionView and seed.
struct Drawing {
    bytes20 link;
    uint32 since;
    uint32 lastBeat;
    bytes32 seed;
    uint32 active;
}

/// @notice Epochs, beats, and each epoch's seed, without a trusted clock or proposer.
///
/// Each member commits to the end of a hash onion and reveals one link an epoch: 160 bits, and each the first 160 of the
/// SHA-256 of the one before. The seed of epoch e is the XOR, over the beats of e-1, of the last 160 bits of
/// keccak256(abi.encode(bytes20 link, uint32 member)): the order of the beats in their blocks does not matter.
/// Quorate: an epoch in which at least two thirds of the active members beat. A seed needs the epoch before to be quorate; an
/// epoch is valid when it has a seed and is quorate itself. All others are void and hurt nobody.
interface IBeacon {
    error ZeroTip();
    /// @notice Beats are taken in the first half of an epoch.
    error BeatsClosed(uint32 epoch, uint256 closedAt, uint256 time);
    error AlreadyBeat(uint32 epoch, uint32 member);
    /// @notice No tip of this member is in effect in this epoch.
    error NoTipInEffect(uint32 member, uint32 epoch);
    error WrongLink(uint32 member, bytes20 tip, bytes20 hashed);
    /// @param heard The member's last beat, or the first epoch in which it could have beaten.
    error NotStandingDown(uint32 member, uint32 heard, uint32 epoch);
    /// @notice The beats of this epoch are no longer kept; events tell them.
    error EpochForgotten(uint32 epoch);

    event TipCommitted(uint32 indexed member, bytes20 tip, uint32 effectiveFrom);
    event Beat(uint32 indexed epoch, uint32 indexed member, bytes20 link);
    /// @notice The beats of this epoch have reached two thirds of the active members.
    event QuorumReached(uint32 indexed epoch, uint32 beats, uint32 active);
    event ActiveMembersChanged(uint32 indexed member, bool counted, uint32 fromEpoch, uint32 active);

    /// @notice Commits to a new hash onion, in effect after the commit delay. A member's key, unless the member has left.
    function commit(bytes20 tip) external;

    /// @notice A member's sign of life: reveals the predecessor of the link revealed last. Once an epoch, in its first
    /// half; from any sender.
    /// @dev The link authenticates, since nobody but the member's node can know it before it is sent, and it is good for
    /// this member and this place in its onion only. Whoever copies it out of a pending transaction and is faster does
    /// what the member wanted. An onion that was stolen, with a node or otherwise, is replaced by commit(); until then
    /// the thief can make its member seem alive, and proves nothing by that.
    function beat(uint32 member, bytes20 link) external;

    /// @notice Takes a member that has been silent for long out of the quorum, after the commit delay, until it beats again.
    /// Anyone.
    function standDown(uint32 member) external;

    /// @notice Takes a member that has left out of the quorum, after the commit delay, and ends its onion. Members only.
    function retire(uint32 member) external;

    /// @notice The seed of an epoch, and whether the beats of the epoch before reached the quorum. Kept for the current
    /// epoch, the next and the two before; EpochForgotten for an older one that had a seed.
    function seed(uint32 epoch) external view returns (bytes32 value, bool valid);

    /// @notice Whether an epoch has a seed and is quorate itself. Settled once its first half is over.
    function valid(uint32 epoch) external view returns (bool);

    function quorate(uint32 epoch) external view returns (bool);

    /// @notice The newest epoch in which a member beat; 0 if it never did, for nobody can in epoch 0.
    function lastBeatOf(uint32 member) external view returns (uint32);

    /// @notice Bit i: epoch word * 256 + i is quorate. An epoch is valid if the one before is, too.
    function quorateWord(uint32 word) external view returns (uint256);

    /// @notice The beats of an epoch, which is as recent as for seed().
    function beatCount(uint32 epoch) external view returns (uint32);

    /// @notice Members that count for an epoch's quorum. Fixed before the epoch begins.
    function activeCount(uint32 epoch) external view returns (uint32);

    /// @notice A member's newest tip, a pending one included, and the epoch from which its commitment is in effect.
    function tipOf(uint32 member) external view returns (bytes20 tip, uint32 effectiveFrom);

    function onionOf(uint32 member) external view returns (OnionView memory);

    /// @notice All that a member's draws of an epoch depend on, in one call. Of an epoch as recent as for seed(); it has no
    /// seed otherwise.
    function drawingOf(uint32 member, uint32 epoch) external view returns (Drawing memory);

    /// @notice Whether beats are taken now.
    function beatsOpen() external view returns (bool);
}
