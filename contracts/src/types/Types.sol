// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Value types that the contracts share. Amounts are micro-credits (10^-6 credit), sizes bytes, times epochs, unless a
/// name says otherwise. Members are numbered from 1; an agreement's id is the EIP-712 digest of its terms.

/// @dev The version that every signed type carries in its first field.
uint16 constant TYPES_VERSION = 1;

/// @dev Bytes of a leaf, the unit of a proof and of billing.
uint256 constant LEAF_SIZE = 1024;
/// @dev Of an agreement, bytes: leaf counts are kept in 40 bits.
uint64 constant MAX_CAPACITY = uint64(LEAF_SIZE << 40) - 1;

/// @notice The network's parameters. A zero stands for the default, where there is one. The first four never change; the
/// others are the market's rules, which the Directory's owner changes with a delay that all see.
/// @param epochSeconds Seconds of an epoch. No default.
/// @param genesisTime Unix seconds at which epoch 0 begins. Default: the block that sets it.
/// @param commitDelay Epochs until a committed hash onion takes effect, at least 2. Default 2.
/// @param rulesDelay Epochs from the announcement of new rules to their effect, at least. Default 48.
/// @param samples Leaves that a proof opens. Default 8.
/// @param graceEpochs Epochs that a client has to pay before an agreement lapses. Default 16.
/// @param escrowEpochs Epochs of full capacity that the escrow covers ahead. Default 32.
/// @param windowEpochs Length of the rolling window of misses, in judged epochs, at most 64. Default 16.
/// @param failAt Misses in the window that fail an agreement. Default 6.
/// @param standDownAfter Epochs without a beat after which a member no longer counts for the quorum. Default 64.
/// @param repairEpochs Epochs of pay that re-replication is deemed to cost, on top of reading the data. Default 16.
/// @param minCapacityMib MiB of the smallest agreement. Default 1.
/// @param noticeEpochs Epochs that an agreement goes on after one side left it. Default 32.
/// @param appealEpochs Epochs that a provider has to appeal against a heavy penalty. Default 24.
/// @param decideEpochs Epochs that the consortium has to decide on an appeal. Default 72.
/// @param maintenanceEpochs Epochs of each 256 that a member may declare as maintenance. Default 16.
/// @param demandEpochs Epochs that a provider has to publish demanded leaves. Default 4.
/// @param demandCap Leaves that may be demanded of an agreement in an epoch. Default 16.
/// @param committee Members drawn to probe a provider in an epoch, on average, at most 16. Default 5.
/// @param demandDeposit Micro-credits that the demand of a leaf costs. Default 1,000.
struct Params {
    uint32 epochSeconds;
    uint64 genesisTime;
    uint16 commitDelay;
    uint16 rulesDelay;
    uint16 samples;
    uint16 graceEpochs;
    uint16 escrowEpochs;
    uint8 windowEpochs;
    uint8 failAt;
    uint16 standDownAfter;
    uint16 repairEpochs;
    uint16 minCapacityMib;
    uint16 noticeEpochs;
    uint16 appealEpochs;
    uint16 decideEpochs;
    uint16 maintenanceEpochs;
    uint8 demandEpochs;
    uint8 demandCap;
    uint8 committee;
    uint32 demandDeposit;
}

enum MemberStatus {
    NONE,
    ACTIVE,
    SUSPENDED,
    LEAVING,
    LEFT
}

/// @notice A member's standing offer as provider. capacity 0 means none. Prices are per GiB, for an epoch or for egress.
struct Offer {
    uint64 capacity;
    uint64 pricePerGibEpoch;
    uint64 egressPricePerGib;
    uint64 collateralPerGib;
    uint32 bandwidthKibS;
    uint32 minRetentionEpochs;
    uint32 termEpochs;
}

/// @notice A member's account delegates to a node key (EIP-712). issuedAt and expiresAt are Unix seconds.
struct Enrolment {
    uint16 version;
    address account;
    address node;
    bytes32 certificateHash;
    uint64 issuedAt;
    uint64 expiresAt;
    uint64 spendingLimit;
    bool exclusive;
    bytes32 extension;
}

/// @notice A member's account withdraws a delegation (EIP-712).
struct Revocation {
    uint16 version;
    address node;
    bytes32 extension;
}

/// @notice What an agreement promises (EIP-712), signed by a key of each side.
/// @param startEpoch First epoch of the term. endEpoch: the first epoch after it. openBy: last epoch to open it in.
/// @param renews The agreement that this one continues, or zero.
struct Terms {
    uint16 version;
    uint32 client;
    uint32 provider;
    uint64 capacity;
    uint64 pricePerGibEpoch;
    uint64 egressPricePerGib;
    uint64 collateral;
    uint32 minBandwidthKibS;
    uint32 minRetentionEpochs;
    uint32 startEpoch;
    uint32 endEpoch;
    uint32 openBy;
    bytes32 salt;
    bytes32 renews;
    bytes32 qualityClause;
    bytes32 extension;
}

/// @notice The co-signed state of an agreement's data (EIP-712).
/// @param previous EIP-712 digest of the revision before; zero for the first.
/// @param bytesUp Cumulative traffic, as is bytesDown.
/// @param expires Last epoch in which it may be recorded; afterwards its number may be used again.
struct Revision {
    uint16 version;
    bytes32 agreement;
    uint64 sequence;
    bytes32 previous;
    bytes32 root;
    uint64 leaves;
    uint64 bytesUp;
    uint64 bytesDown;
    uint32 expires;
    bytes32 extension;
}

/// @notice New terms for an agreement in force (EIP-712), signed by a key of each side; all of them, changed or not.
/// @param number How many amendments there are with this one.
/// @param expires Last epoch in which it may be recorded; afterwards its number may be used again.
struct Amendment {
    uint16 version;
    bytes32 agreement;
    uint32 number;
    uint64 capacity;
    uint64 pricePerGibEpoch;
    uint64 egressPricePerGib;
    uint64 collateral;
    uint32 minRetentionEpochs;
    uint32 endEpoch;
    uint32 expires;
    bytes32 extension;
}

enum AgreementState {
    NONE,
    ACTIVE,
    GRACE,
    LAPSED,
    FAILED,
    ENDED
}

/// @notice The answer to one agreement's challenge. proof: the challenged leaves in the tree, as in libraries/SumTree.
struct Possession {
    bytes32 agreement;
    bytes proof;
}
