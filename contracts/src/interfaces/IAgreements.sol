// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementState, Amendment, Revision, Terms} from "../types/Types.sol";

/// @notice What the chain keeps of the terms, as amended; the opening event has them in full.
/// @param startEpoch First epoch of the term, or that of the opening if it came later.
struct Deal {
    uint32 client;
    uint32 provider;
    uint64 capacity;
    uint64 pricePerGibEpoch;
    uint64 egressPricePerGib;
    uint64 collateral;
    uint32 minRetentionEpochs;
    uint32 startEpoch;
    uint32 endEpoch;
    bytes32 qualityClause;
}

/// @notice An agreement as the chain shows it.
/// @param amendments How many there were.
/// @param bytesUp Cumulative traffic that both sides signed for, as is bytesDown.
/// @param revision EIP-712 digest of the newest revision; zero before the first.
/// @param settledThrough The last epoch that a settlement covered.
/// @param misses Misses so far. recentMisses: those in the rolling window.
struct AgreementView {
    bytes32 id;
    Deal terms;
    AgreementState state;
    uint32 amendments;
    uint64 sequence;
    bytes32 revision;
    bytes32 root;
    uint64 leaves;
    uint64 bytesUp;
    uint64 bytesDown;
    uint32 revisedEpoch;
    uint32 settledThrough;
    uint256 escrow;
    uint256 collateral;
    uint32 misses;
    uint32 recentMisses;
}

/// @notice What a challenge in some epoch is about: the sides, whether the agreement is live, and the frozen revision.
struct Standing {
    uint32 client;
    uint32 provider;
    AgreementState state;
    uint32 startEpoch;
    uint32 endEpoch;
    uint64 sequence;
    bytes32 root;
    uint64 leaves;
}

/// @notice What settling an agreement depends on. startEpoch: the first epoch to settle. bytesDown: cumulative traffic.
struct Bill {
    uint32 client;
    uint32 provider;
    AgreementState state;
    uint64 capacity;
    uint64 pricePerGibEpoch;
    uint64 egressPricePerGib;
    uint64 collateral;
    uint32 startEpoch;
    uint32 endEpoch;
    uint64 bytesDown;
    bytes32 qualityClause;
}

/// @notice Epochs up to before `until`, from where the run before ends, that are all about the same number of leaves.
struct Run {
    uint64 leaves;
    uint32 until;
}

/// @notice Data that the client has announced to remove; all zero if none.
/// @param objects SHA-256 of the objects' 32-byte roots, sorted and concatenated: which ones, for the provider to compare.
/// @param leaves Leaves of those objects.
/// @param ready First epoch in which the revision without them may be recorded.
struct Removal {
    bytes32 objects;
    uint64 leaves;
    uint64 ready;
}

/// @notice Agreements: terms signed by both sides, their state, and the co-signed revisions of their data.
/// @notice What the newest keys are bound by, where it is not what the terms say from their start, micro-credits: the client's
/// key (zero: the full price of the terms), and what had been spent and lost before.
struct Bound {
    uint80 client;
    uint80 spent;
    uint64 lost;
}

/// @notice The keys that signed new terms, and what binds them from then on, micro-credits.
/// @param ahead What the client may still have to pay. spent, lost: what was paid and what the collateral lost before.
struct Signers {
    address clientKey;
    uint256 clientLimit;
    address providerKey;
    uint256 providerLimit;
    uint256 ahead;
    uint256 spent;
    uint256 lost;
}

interface IAgreements {
    error UnknownAgreement(bytes32 id);
    error AlreadyOpened(bytes32 id);
    /// @notice The signature is not by a key that acts for `member` now.
    error WrongSigner(uint32 member, address recovered);
    error SameMember(uint32 member);
    error OpenTooLate(uint32 openBy, uint32 epoch);
    error BadTerm(uint32 startEpoch, uint32 endEpoch, uint32 epoch);
    error TooSmall(uint64 capacity, uint64 minimum);
    error TooLarge(uint64 capacity, uint64 maximum);
    error OverOffer(uint32 provider, uint256 requested, uint256 available);
    error OverSpendingLimit(address key, uint256 bound, uint256 limit);
    error CostOutOfRange(uint256 cost);
    error NotInForce(bytes32 id, AgreementState state);
    error WrongSequence(bytes32 id, uint64 expected, uint64 given);
    error WrongPredecessor(bytes32 id, bytes32 expected, bytes32 given);
    error RevisionExpired(bytes32 id, uint32 expires, uint32 epoch);
    error TermOver(bytes32 id, uint32 endEpoch, uint32 epoch);
    error OverCapacity(bytes32 id, uint256 requested, uint64 capacity);
    /// @notice Traffic is counted from the agreement's beginning, so it never gets less.
    error TrafficShrinks(bytes32 id, uint64 bytesUp, uint64 bytesDown);
    error NotTheClient(bytes32 id, uint32 member);
    /// @notice An announced removal names at least one leaf and a commitment that is not zero.
    error EmptyRemoval(bytes32 id);
    error RemovalTooLarge(bytes32 id, uint64 leaves, uint64 given);
    error RemovalPending(bytes32 id, bytes32 objects, uint64 ready);
    /// @notice Nothing is announced that could be cancelled, or that would let the leaves shrink.
    error NoRemoval(bytes32 id);
    error RemovalTooEarly(bytes32 id, uint64 ready, uint32 epoch);
    /// @notice The revision has `given` leaves less; `announced` were to go.
    error WrongRemoval(bytes32 id, uint64 announced, uint64 given);
    error NoTransition(bytes32 id, AgreementState from, AgreementState to);

    /// @notice The agreement begins, in state ACTIVE.
    event AgreementOpened(
        bytes32 indexed id,
        uint32 indexed client,
        uint32 indexed provider,
        Terms terms,
        address clientKey,
        address providerKey,
        uint32 epoch
    );
    event Revised(
        bytes32 indexed id,
        uint64 indexed sequence,
        bytes32 digest,
        bytes32 root,
        uint64 leaves,
        uint64 bytesUp,
        uint64 bytesDown,
        uint32 epoch
    );
    event RemovalAnnounced(bytes32 indexed id, uint32 indexed client, bytes32 objects, uint64 leaves, uint64 ready);
    event RemovalCancelled(bytes32 indexed id, uint32 indexed client, bytes32 objects);
    event RemovalRecorded(bytes32 indexed id, uint64 indexed sequence, bytes32 objects, uint64 leaves);
    event StateChanged(bytes32 indexed id, AgreementState from, AgreementState to);

    /// @notice Opens an agreement: holds the client's escrow and the provider's collateral. Relayed by anyone.
    /// @param clientSignature EIP-712 signature, 65 bytes, by a key that acts for the client now; likewise the provider's.
    /// @return id The EIP-712 digest of the terms.
    function open(Terms calldata terms, bytes calldata clientSignature, bytes calldata providerSignature)
        external
        returns (bytes32 id);

    /// @notice Records a co-signed revision. Relayed by anyone. Leaves grow up to the capacity; they shrink only by the
    /// announced removal, by exactly its leaves, from the epoch on in which it is ready, and the removal is then done.
    function revise(Revision calldata revision, bytes calldata clientSignature, bytes calldata providerSignature)
        external;

    /// @notice Puts new terms in the place of the former ones, and binds the keys that signed them. Amendments only, which has
    /// checked them.
    function rewrite(Amendment calldata amendment, Signers calldata signers) external;

    /// @notice Ends an agreement sooner; its keys stay bound by what they signed. Amendments only.
    function shorten(bytes32 id, uint32 endEpoch) external;

    /// @notice Announces that data will be removed once the minimum retention has passed from now. A key of the client, not
    /// while suspended; the agreement is ACTIVE and has no removal pending.
    /// @param objects SHA-256 of the objects' 32-byte roots, sorted and concatenated. leaves: of those objects.
    function announceRemoval(bytes32 id, bytes32 objects, uint64 leaves) external;

    /// @notice Withdraws the announced removal. A key of the client: a node key, or its account, which first revokes the
    /// node key that announced it, if that was stolen. In any state, suspended or not.
    function cancelRemoval(bytes32 id) external;

    /// @notice Moves an agreement along the state table. Clearing only.
    /// @param spent Of what the client's key bound, the part that was paid. lost: of the provider's, the part forfeited.
    function transit(bytes32 id, AgreementState to, uint256 spent, uint256 lost) external;

    function get(bytes32 id) external view returns (AgreementView memory);

    /// @notice Many at once; unknown ids come back in state NONE.
    function list(bytes32[] calldata ids) external view returns (AgreementView[] memory);

    /// @notice Ids of the agreements in which a member is client or provider, oldest first.
    function agreementsOf(uint32 member) external view returns (bytes32[] memory);

    function count() external view returns (uint256);

    /// @notice Id of the agreement opened as number `index`, from 0.
    function at(uint256 index) external view returns (bytes32);

    /// @notice The newest revision recorded in epoch - 2 or before: what a challenge in `epoch` is over. The root is kept as
    /// long as a challenge may be about it, and zero afterwards: `Revised` has told it.
    function frozen(bytes32 id, uint32 epoch) external view returns (bytes32 root, uint64 leaves, uint64 sequence);

    /// @notice What `Proofs` needs to judge a proof made in `epoch`.
    function standing(bytes32 id, uint32 epoch) external view returns (Standing memory);

    /// @notice What `Clearing` settles by. All zero for an unknown agreement.
    function billOf(bytes32 id) external view returns (Bill memory);

    /// @notice The frozen leaf counts of the epochs from `from` to before `to`, future ones as of now.
    function leafRuns(bytes32 id, uint32 from, uint32 to) external view returns (Run[] memory);

    /// @notice The pending removal; all zero if there is none.
    function removalOf(bytes32 id) external view returns (Removal memory);

    /// @notice EIP-712 digest of the newest recorded revision; zero before the first.
    function revisionDigest(bytes32 id) external view returns (bytes32);

    /// @notice EIP-712 digest that both sides sign; for terms, the agreement's id.
    function digestOfTerms(Terms calldata terms) external view returns (bytes32);

    function digestOfRevision(Revision calldata revision) external view returns (bytes32);

    /// @notice The keys that signed the terms in force, and what they are bound by: for a contract that takes over.
    function keysOf(bytes32 id) external view returns (address clientKey, address providerKey, Bound memory bound);

    /// @notice Bytes that a provider has promised in agreements in force.
    function promised(uint32 provider) external view returns (uint256);

    /// @notice Agreements in force in which a member is client or provider.
    function liveOf(uint32 member) external view returns (uint32);

    /// @notice Micro-credits that a key has bound: spent or lost, or promised in agreements in force.
    function boundBy(address key) external view returns (uint256);
}
