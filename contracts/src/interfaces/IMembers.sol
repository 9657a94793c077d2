// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Enrolment, MemberStatus, Offer, Revocation} from "../types/Types.sol";

/// @notice A node key as the chain shows it. certificate: its TLS certificate, DER. expiresAt: Unix seconds.
struct NodeView {
    address key;
    bytes certificate;
    string endpoint;
    string site;
    uint64 expiresAt;
    bool revoked;
}

/// @notice A member as the chain shows it; nodes newest last, revoked ones too.
struct MemberView {
    uint32 id;
    address account;
    MemberStatus status;
    bytes32 legalEntity;
    bytes2 jurisdiction;
    string name;
    Offer offer;
    NodeView[] nodes;
}

/// @notice Who is a member, which node keys act for whom, where they are, and what they offer.
interface IMembers {
    error AddressTaken(address given, uint32 member);
    error BadAddress();
    error UnknownMember(uint32 member);
    error UnknownAccount(address account);
    error UnknownNode(address node);
    error WrongStatus(uint32 member, MemberStatus status);
    error BadSignature(address expected, address recovered);
    error CertificateMismatch(bytes32 expected, bytes32 given);
    error EnrolmentExpired(uint64 expiresAt, uint256 time);
    error IssuedInFuture(uint64 issuedAt, uint256 time);
    /// @notice Signed before the member's newest exclusive enrolment, which withdrew it.
    error EnrolmentSuperseded(uint64 issuedAt, uint64 exclusiveSince);
    error TooManyNodes(uint32 member, uint256 limit);
    error TooLong(string field, uint256 length, uint256 limit);
    error NotTheAccount(uint32 member, address sender);
    error AlreadyRevoked(address node);
    /// @notice A member with agreements in force has not left.
    error StillBound(uint32 member, uint32 agreements);
    /// @notice Maintenance is declared and cancelled for [from, to), from `earliest` on.
    error BadWindow(uint32 from, uint32 to, uint32 earliest);
    /// @notice More epochs of maintenance than a member has in the 256 from word * 256 on.
    error OverBudget(uint32 member, uint32 word, uint256 epochs, uint256 budget);

    event MemberAdmitted(
        uint32 indexed member, address indexed account, bytes32 legalEntity, bytes2 jurisdiction, string name
    );
    event MemberSuspended(uint32 indexed member);
    event MemberReinstated(uint32 indexed member);
    /// @notice The member takes no new promises on, and its offer is gone.
    event MemberLeaving(uint32 indexed member);
    /// @notice No agreement binds the member any more; for good.
    event MemberLeft(uint32 indexed member);
    event NodeEnrolled(
        uint32 indexed member,
        address indexed node,
        bytes32 certificateHash,
        uint64 issuedAt,
        uint64 expiresAt,
        uint64 spendingLimit,
        bool exclusive,
        string endpoint,
        string site
    );
    event NodeRevoked(uint32 indexed member, address indexed node);
    event NodeAnnounced(uint32 indexed member, address indexed node, string endpoint, string site);
    event MaintenanceDeclared(uint32 indexed member, uint32 from, uint32 to);
    event MaintenanceCancelled(uint32 indexed member, uint32 from, uint32 to);
    event OfferPublished(uint32 indexed member, address indexed node, Offer offer);

    /// @notice Admits a legal entity. Operator only.
    /// @param account The address derived from the member's recovery words; never used before.
    /// @param legalEntity Hash that identifies the legal entity. jurisdiction: ISO 3166 alpha-2.
    /// @return id The member's number, from 1.
    function admit(address account, bytes32 legalEntity, bytes2 jurisdiction, string calldata name)
        external
        returns (uint32 id);

    /// @notice Ends a member's writes and new agreements, not its reading nor its duties as provider. Operator only.
    function suspend(uint32 member) external;

    /// @notice Takes a suspension back. Operator only.
    function reinstate(uint32 member) external;

    /// @notice Announces that the sender's member leaves the network: it promises nothing new, and has left as soon as no
    /// agreement in force binds it, at once if none does. An account only. A suspended member leaves by it too, but is not
    /// freed of its suspension meanwhile. There is no way back.
    function leave() external;

    /// @notice Completes the leaving of a member that no agreement in force binds any more. Anyone.
    function depart(uint32 member) external;

    /// @notice Records that a member's account delegates to a node key. Relayed by anyone.
    /// @dev A key is enrolled once in its life, so nobody can replay an enrolment after its revocation. An exclusive one
    /// revokes the keys whose enrolments were issued before it or with it, and refuses those that turn up later.
    /// @param certificate TLS certificate of the node, DER; its SHA-256 is what the account signed.
    /// @param signature The account's EIP-712 signature, 65 bytes.
    function enrol(
        Enrolment calldata enrolment,
        bytes calldata certificate,
        string calldata endpoint,
        string calldata site,
        bytes calldata signature
    ) external;

    /// @notice Withdraws a node key, for good. The member's account only.
    function revoke(address node) external;

    /// @notice The same, relayed by anyone with the account's EIP-712 signature.
    function revokeBySig(Revocation calldata revocation, bytes calldata signature) external;

    /// @notice Says where the sending node key is reached. A live node key only.
    /// @param endpoint "host:port", 256 bytes at most. site: failure domain, 64 bytes at most.
    function announce(string calldata endpoint, string calldata site) external;

    /// @notice Publishes the member's standing offer. A live node key, or the account; not while suspended.
    function publishOffer(Offer calldata offer) external;

    /// @notice Declares maintenance in the epochs [from, to): a proof that is missing then costs its pay and nothing more.
    /// A member's key; two epochs ahead at least, within the budget of epochs in every 256.
    function declareMaintenance(uint32 from, uint32 to) external;

    /// @notice Takes declared maintenance back in the epochs [from, to), two epochs ahead at least. A member's key.
    function cancelMaintenance(uint32 from, uint32 to) external;

    /// @notice Bit i: the member is in maintenance in epoch word * 256 + i.
    function maintenanceWord(uint32 member, uint32 word) external view returns (uint256);

    /// @notice The member that a key acts for now: a live node key or an account. 0 if none, revoked or expired.
    function memberOf(address key) external view returns (uint32);

    function memberOfAccount(address account) external view returns (uint32);

    /// @notice All about a key in one read: the member that it acts for now, zero if none; that member's status; the
    /// micro-credits that the key may bind in agreements, the highest number for an account.
    function authority(address key) external view returns (uint32 member, MemberStatus status, uint256 spendingLimit);

    function statusOf(uint32 member) external view returns (MemberStatus);

    function accountOf(uint32 member) external view returns (address);

    /// @notice Hash that identifies a member's legal entity.
    function entityOf(uint32 member) external view returns (bytes32);

    function offerOf(uint32 member) external view returns (Offer memory);

    /// @notice Grows at every change of what roster shows, but not when a key expires.
    function generation() external view returns (uint64);

    /// @notice Number of members ever admitted; the newest one's id.
    function count() external view returns (uint32);

    /// @notice Members `from` and after, `number` at most.
    function roster(uint32 from, uint32 number) external view returns (MemberView[] memory);
}
