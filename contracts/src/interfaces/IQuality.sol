// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Figures} from "../libraries/Probes.sol";

/// @notice A prober's figures for one provider.
struct Probe {
    uint32 provider;
    Figures figures;
}

/// @notice The median of an epoch's reports on a provider. reports: how many; zero if there is no record.
struct QualityRecord {
    Figures figures;
    uint8 reports;
}

/// @notice A report as it was given. disputed: it lies far from the median.
struct Reported {
    uint32 member;
    Figures figures;
    bool disputed;
}

/// @notice Who probes whom, the reports, and each epoch's median record of each provider.
///
/// In epoch e member m is drawn to probe provider p if
///
///   uint256(keccak256(abi.encode(seed of e, link of m that its beat of e+1 reveals, p))) % active(e-1) < committee(e)
///
/// where active counts the members of the quorum that made the seed. Until that beat m alone knows, so p cannot tell a probe from any other transfer. The link was committed before anybody knew
/// the seed, so m cannot arrange to be drawn. m reports in e+1 after its beat, while beats are taken: an epoch's record is
/// final before the epoch can be settled. One report of a legal entity on a provider and epoch, none on a provider of its own.
/// The record is the median of each figure by itself, of at least three reports; with fewer there is none.
interface IQuality {
    /// @notice Reports on an epoch are taken in the first half of the next one only.
    error ReportsClosed(uint32 epoch, uint32 current);
    /// @notice The prober's beat, after which it reports, is not there yet.
    error BeatFirst(uint32 member, uint32 lastBeat, uint32 current);
    /// @notice The prober's onion was committed too late to be of account in this epoch.
    error OnionTooNew(uint32 member, uint32 since, uint32 epoch);
    /// @notice Without a seed nobody is drawn.
    error NoSeed(uint32 epoch);
    error NotDrawn(uint32 epoch, uint32 member, uint32 provider);
    error UnknownProvider(uint32 provider);
    error OwnEntity(uint32 member, uint32 provider);
    /// @notice A member of the same legal entity has reported on this provider and epoch already.
    error EntityReported(uint32 epoch, uint32 provider, uint32 member);
    error CommitteeFull(uint32 epoch, uint32 provider);
    error BadAvailability(uint32 provider, uint8 availability);
    error BadRange(uint32 from, uint32 to);

    event ProbeReported(uint32 indexed epoch, uint32 indexed provider, uint32 indexed member, Figures figures);
    /// @notice The record of an epoch as of now; the last such event of an epoch is final.
    /// @param disputed Bit i: the i-th report of this provider and epoch lies far from the median (half, or double).
    event QualityRecorded(
        uint32 indexed epoch, uint32 indexed provider, Figures median, uint8 reports, uint256 disputed
    );

    /// @notice Reports what the sender's member measured of providers in the epoch before, all that it was drawn for at once
    /// or one by one. A key of an active or leaving member, after its beat of this epoch, in the first half.
    function report(uint32 epoch, Probe[] calldata probes) external;

    /// @notice The record of a provider and epoch, of any age.
    function recordOf(uint32 provider, uint32 epoch) external view returns (QualityRecord memory);

    /// @notice The records of the epochs [from, to), 256 at most.
    function recordsOf(uint32 provider, uint32 from, uint32 to) external view returns (QualityRecord[] memory);

    /// @notice The newest epoch with a report on a provider, and its reports in order; older ones are told by events.
    function reportsOn(uint32 provider) external view returns (uint32 epoch, Reported[] memory);

    /// @notice Bit i: the record of epoch from + i falls short of what a clause (libraries/QualityClause) asks for. The epochs
    /// [from, to), 256 at most; an epoch without a record never falls short.
    function shortfalls(uint32 provider, uint32 from, uint32 to, bytes32 clause) external view returns (uint256 bits);
}
